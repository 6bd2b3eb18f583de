package demo

import (
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// director does something when a line of the story has certain words in it.
type director struct {
	story strings.Builder
	cues  []cue // in order
}

type cue struct {
	words string
	do    func()
}

func (d *director) Write(line []byte) (int, error) {
	if len(d.cues) > 0 && strings.Contains(string(line), d.cues[0].words) {
		d.cues[0].do()
		d.cues = d.cues[1:]
	}
	return d.story.Write(line)
}

// startServer starts a NATS server that can be stopped and started again.
func startServer(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		t.Fatal("the NATS server is not ready")
	}
	return s
}

func TestADemoOnAServerThatGoesAwayLosesNothing(t *testing.T) {
	t.Parallel()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir()}
	far := startServer(t, opts)
	opts.Port = far.Addr().(*net.TCPAddr).Port
	stop := func() { far.Shutdown(); far.WaitForShutdown() }
	defer func() { stop() }()
	show := &director{cues: []cue{
		{"hangs", stop}, // this loss and later ones are reported later
		{"gets to work again", func() { far = startServer(t, opts) }},
	}}
	report, err := Run(t.Context(), Config{Agents: 5, For: slowest + 18*time.Second, Server: far.ClientURL(), Version: "0.0.0", Out: show})
	t.Log(show.story.String())
	if err != nil {
		t.Fatal(err)
	}
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if len(show.cues) > 0 || report.ServerOutages != 1 || report.LongestOutageMS == 0 || report.Lost != 0 || report.Waiting != 0 {
		t.Errorf("not played: %d cues; %+v", len(show.cues), report)
	}
	if deaths := strings.Count(show.story.String(), "hangs"); !strings.Contains(show.story.String(), "caught up") || deaths == 0 || len(report.Detections) <= deaths {
		t.Errorf("%d detections", len(report.Detections))
	}
	client, err := nats.Connect(far.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	js, err := jetstream.New(client, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	for name := range js.StreamNames(t.Context()).Name() {
		t.Errorf("left on the server: stream %s", name)
	}
}

func TestADemoOnAServerWithoutJetStreamHearsWhatIsSaid(t *testing.T) {
	t.Parallel()
	far := startServer(t, &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true})
	defer func() { far.Shutdown(); far.WaitForShutdown() }()
	report, err := Run(t.Context(), Config{Agents: 3, For: slowest, Server: far.ClientURL(), Version: "0.0.0", Out: t.Output()})
	if err != nil || report.Err() != nil || report.Messages == 0 || report.Changes < 6 {
		t.Errorf("%v, %+v", err, report)
	}
}

func TestADemoOnAServerThatIsNotThereIsRefused(t *testing.T) {
	_, err := Run(t.Context(), Config{Agents: 1, Server: "nats://127.0.0.1:1", Version: "0.0.0", Out: t.Output()})
	if err == nil || !strings.Contains(err.Error(), "connect to --server") {
		t.Error(err)
	}
}
