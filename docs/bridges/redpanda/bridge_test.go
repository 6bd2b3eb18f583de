// Package redpanda tests the recipes beside it: the configurations of Redpanda Connect run in
// Benthos 4.27, its last release under an open source licence alone, against a NATS server
// that pulse provision has set up.
package redpanda

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/benthosdev/benthos/v4/public/components/io"
	_ "github.com/benthosdev/benthos/v4/public/components/kafka"
	_ "github.com/benthosdev/benthos/v4/public/components/nats"
	_ "github.com/benthosdev/benthos/v4/public/components/pure"
	"github.com/benthosdev/benthos/v4/public/service"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const patience = time.Minute

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

var buildPulse = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "pulse-bridge")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "pulse"), "./cmd/pulse")
	cmd.Dir = filepath.Join("..", "..", "..")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return filepath.Join(dir, "pulse"), nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	if pulse, err := buildPulse(); err == nil {
		os.RemoveAll(filepath.Dir(pulse))
	}
	os.Exit(code)
}

// platform is a NATS server as pulse provision sets it up, with a node that publishes to it.
type platform struct {
	*testing.T
	dir       string
	url       string
	node      *nats.Conn
	published map[string]*nats.Msg
	env       map[string]string // of the recipe
}

func startPlatform(t *testing.T) *platform {
	t.Helper()
	p := &platform{T: t, dir: filepath.Join(t.TempDir(), "nats"), published: map[string]*nats.Msg{}}
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	p.provision("--operator", "Example", "--node", "node01", "--host", "127.0.0.1", "--port", fmt.Sprint(port))

	// What was not acknowledged comes again after 2 s in the place of 30, for the test's sake alone.
	path := filepath.Join(p.dir, "consumers", "STATUS.xdr.json")
	text := string(must(os.ReadFile(path)))
	changed := strings.Replace(text, `"ack_wait": 30000000000`, `"ack_wait": 2000000000`, 1)
	if changed == text {
		t.Fatalf("no ack_wait of 30 s in %s", text)
	}
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}

	opts := must(server.ProcessConfigFile(filepath.Join(p.dir, "server", "nats-server.conf")))
	opts.NoSigs, opts.NoLog, opts.TLSTimeout, opts.AuthTimeout = true, true, 20, 20
	s := must(server.NewServer(opts))
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the NATS server does not start")
	}
	p.url = fmt.Sprintf("tls://127.0.0.1:%d", port)
	p.provision("--apply")
	p.node = p.connect("nodes/node01/pulse-nats.creds", nats.CustomInboxPrefix("_INBOX.node01"))
	p.env = map[string]string{"NATS_URL": p.url, "READER_DIR": filepath.Join(p.dir, "readers", "xdr"),
		"REFUSED_FILE": filepath.Join(p.dir, "refused.ndjson"), "OPENSEARCH_PASSWORD": password, "SPLUNK_TOKEN": token}
	return p
}

func (p *platform) provision(args ...string) {
	p.Helper()
	pulse, err := buildPulse()
	if err != nil {
		p.Fatal(err)
	}
	out, err := exec.CommandContext(p.Context(), pulse, append([]string{"provision", p.dir}, args...)...).CombinedOutput()
	if err != nil {
		p.Fatalf("pulse provision %v: %v: %s", args, err, out)
	}
}

func (p *platform) connect(creds string, opts ...nats.Option) *nats.Conn {
	p.Helper()
	nc, err := nats.Connect(p.url, append(opts, nats.UserCredentials(filepath.Join(p.dir, creds)), nats.RootCAs(filepath.Join(p.dir, "admin", "ca.crt")))...)
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(nc.Close)
	return nc
}

// publish publishes n status changes as a node does.
func (p *platform) publish(n int) {
	p.Helper()
	for range n {
		seq := len(p.published) + 1
		agent := fmt.Sprintf("%03d", seq%50+1)
		m := nats.NewMsg("wazuh.xdr.agent." + agent + ".status_change")
		id := fmt.Sprintf("node01-1795620152-%d-K5QWG43LNFXGOIDT", seq)
		m.Header.Set("Nats-Msg-Id", id)
		m.Header.Set("Pulse-Signature", fmt.Sprintf("eyJhbGciOiJFZERTQSJ9..%d", seq))
		m.Data = fmt.Appendf(nil, `{"status_change":{"agent_id":%q,"agent_name":"web <%s>","previous_status":%d,"current_status":%d,`+
			`"timestamp":1795620152,"reason":"connection_lost"},"security":{"source":"wazuh-manager","version":"0.1.0","sequence":%d,"node":"node01",`+
			`"epoch":1795620152,"issued_at":1795620152120,"subject":%q}}`, agent, agent, seq%2, (seq+1)%2, seq, m.Subject)
		if _, err := p.node.RequestMsg(m, patience); err != nil {
			p.Fatal(err)
		}
		p.published[id] = m
	}
}

// run runs a recipe until it is stopped; the function that it returns waits until it has ended.
func (p *platform) run(recipe string) (stop func()) {
	p.Helper()
	b := service.NewStreamBuilder()
	b.SetEnvVarLookupFunc(func(name string) (string, bool) { v, ok := p.env[name]; return v, ok })
	if err := b.SetYAML(string(must(os.ReadFile(recipe)))); err != nil {
		p.Fatalf("%s: %v", recipe, err)
	}
	b.SetPrintLogger(printer{p.T})
	s, err := b.Build()
	if err != nil {
		p.Fatalf("%s: %v", recipe, err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Run(p.Context()) }()
	return sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Stop(ctx) // an error says that messages were in flight, as a killed program's are
		<-done
	})
}

type printer struct{ t *testing.T }

func (p printer) Printf(format string, v ...any) { fmt.Fprintf(p.t.Output(), format+"\n", v...) }
func (p printer) Println(v ...any)               { fmt.Fprintln(p.t.Output(), v...) }

// waitFor waits until every message was acknowledged to the consumer, and ok returns true.
func (p *platform) waitFor(what string, ok func() bool) {
	p.Helper()
	js := must(jetstream.New(p.connect("admin/admin.creds")))
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		info := must(must(js.Consumer(ctx, "STATUS", "xdr")).Info(ctx))
		if info.NumPending == 0 && info.NumAckPending == 0 && ok() {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			p.Fatalf("%s: %d messages pending, %d not acknowledged", what, info.NumPending, info.NumAckPending)
		}
	}
}

// serve serves the sink, and reports what it found wrong with requests.
func (p *platform) serve(s *sink) string {
	srv := httptest.NewServer(s)
	p.Cleanup(func() { s.unblock(); srv.Close() })
	return srv.URL
}

func TestOpenSearchGetsEveryMessageOnceWhateverFails(t *testing.T) {
	p := startPlatform(t)
	s := newSink(t, serveBulk)
	p.env["OPENSEARCH_URL"] = p.serve(s)
	p.publish(300)
	s.fail(partly(429), status(503), unanswered, cutOff, status(500))
	stop := p.run("opensearch.yaml")
	t.Cleanup(stop)
	p.waitFor("after failures", func() bool { return s.len() == 300 })

	// The bridge ends while OpenSearch thinks, and another begins.
	s.fail(blocked)
	p.publish(300)
	s.waitBlocked()
	stop()
	s.unblock()
	p.publish(1)
	stop = p.run("opensearch.yaml")
	t.Cleanup(stop)
	p.waitFor("after a restart", func() bool { return s.len() == 601 })
	stop()

	for id, m := range p.published {
		var doc struct {
			StatusChange map[string]any `json:"status_change"`
			Timestamp    time.Time      `json:"@timestamp"`
			Pulse        struct{ ID, Subject, Signature string }
			Event        struct{ Original string }
		}
		if err := json.Unmarshal(s.stored[id], &doc); err != nil {
			t.Fatalf("%s: %v: %s", id, err, s.stored[id])
		}
		if doc.Event.Original != string(m.Data) || doc.Pulse.Signature != m.Header.Get("Pulse-Signature") || doc.Pulse.ID != id ||
			doc.Pulse.Subject != m.Subject || doc.StatusChange["agent_id"] == nil || time.Since(doc.Timestamp).Abs() > time.Hour {
			t.Fatalf("%s: %s", id, s.stored[id])
		}
	}
}

func TestADocumentThatOpenSearchRefusesStopsNoOther(t *testing.T) {
	p := startPlatform(t)
	s := newSink(t, serveBulk)
	p.env["OPENSEARCH_URL"] = p.serve(s)
	p.publish(20)
	s.fail(partly(400))
	stop := p.run("opensearch.yaml")
	t.Cleanup(stop)
	p.waitFor("with a refused document", func() bool { return s.len() == 19 })
	stop()
	text, err := os.ReadFile(p.env["REFUSED_FILE"])
	if err != nil || !strings.Contains(string(text), "node01-1795620152-") || !strings.Contains(string(text), "mapper_parsing_exception") {
		t.Errorf("the file of refused documents: %v, %s", err, text)
	}
}

func TestSplunkGetsEveryMessageWhateverFails(t *testing.T) {
	p := startPlatform(t)
	s := newSink(t, serveHEC)
	p.env["SPLUNK_URL"] = p.serve(s)
	p.publish(300)
	s.fail(status(503), unanswered, cutOff, status(429))
	stop := p.run("splunk.yaml")
	t.Cleanup(stop)
	p.waitFor("after failures", func() bool { return s.len() == 300 })

	s.fail(blocked)
	p.publish(300)
	s.waitBlocked()
	stop()
	s.unblock()
	p.publish(1)
	stop = p.run("splunk.yaml")
	t.Cleanup(stop)
	p.waitFor("after a restart", func() bool { return s.len() == 601 })
	stop()

	for id, m := range p.published {
		var e struct {
			Source string
			Event  json.RawMessage
			Fields map[string]string
		}
		if err := json.Unmarshal(s.stored[id], &e); err != nil {
			t.Fatalf("%s: %v: %s", id, err, s.stored[id])
		}
		if e.Source != m.Subject || e.Fields["pulse_signature"] != m.Header.Get("Pulse-Signature") || !sameJSON(e.Event, m.Data) {
			t.Fatalf("%s: %s", id, s.stored[id])
		}
	}
}

// What Kafka gets is not tested: there is no broker here.
func TestTheRecipeForKafkaIsAccepted(t *testing.T) {
	b := service.NewStreamBuilder()
	if err := b.SetYAML(string(must(os.ReadFile("kafka.yaml")))); err != nil {
		t.Error(err)
	}
}
