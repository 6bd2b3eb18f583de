package listen

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for something.
const patience = time.Minute

// keyFile registers agents in every way there is.
const keyFile = `001 web any 1111111111111111
002 db 127.0.0.2 2222222222222222
003 mail 127.0.0.0/8 3333333333333333
004 dc 192.0.2.4 4444444444444444
005 vpn any 5555555555555555
006 build 127.0.0.6/32 6666666666666666
`

// testLink is a running link and what it reported.
type testLink struct {
	t         testing.TB
	link      *Link
	sightings chan detector.Sighting
	log       *logRecorder
	stop      func() // ends the link and waits

	dialled uint64 // agents: the numbers of each are higher than those of all before
}

func readKeys(t testing.TB, text string) *clientkeys.Set {
	t.Helper()
	keys, problems, err := clientkeys.Parse(strings.NewReader(text))
	if err != nil || len(problems) > 0 {
		t.Fatal(err, problems)
	}
	return keys
}

// openLink runs a link on the loopback address, with a configuration that change may alter.
func openLink(t testing.TB, change ...func(*Config)) *testLink {
	t.Helper()
	s := prepareLink(t, change...)
	s.start()
	return s
}

// prepareLink opens a link without running it.
func prepareLink(t testing.TB, change ...func(*Config)) *testLink {
	t.Helper()
	s := &testLink{t: t, sightings: make(chan detector.Sighting, 1<<16), log: new(logRecorder)}
	cfg := Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), TCP: true, UDP: true, Method: detector.Request, Verify: true,
		Keys: readKeys(t, keyFile), Clock: detector.NewClock(), Report: func(seen detector.Sighting) { s.sightings <- seen },
		Log: slog.New(s.log)}
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if s.link, err = Listen(cfg); err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs the link until the test ends or stop is called.
func (s *testLink) start() {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.link.Run(ctx) })
	s.stop = func() { cancel(); running.Wait() }
	s.t.Cleanup(s.stop)
}

// expectSighting waits for the next sighting, which has to be this.
func (s *testLink) expectSighting(id detector.AgentID, kind detector.Kind) detector.Sighting {
	s.t.Helper()
	select {
	case seen := <-s.sightings:
		if seen.ID != id || seen.Kind != kind {
			s.t.Fatalf("saw %+v, want kind %d of agent %s", seen, kind, id)
		}
		return seen
	case <-time.After(patience):
		s.t.Fatalf("saw nothing, want kind %d of agent %s", kind, id)
	}
	panic("not reached")
}

// expectNoSighting fails the test if anything was seen.
func (s *testLink) expectNoSighting() {
	s.t.Helper()
	select {
	case seen := <-s.sightings:
		s.t.Fatalf("saw %+v, want nothing", seen)
	default:
	}
}

func (s *testLink) countRefusals(why refusal) int64 { return s.link.Stats().Refused[why.String()] }

// agent is a simulated agent that sends only what a test makes it send.
type agent struct {
	t       testing.TB
	conn    net.Conn
	stream  bool
	wireID  string
	key     secmsg.Key
	method  secmsg.Method
	counter secmsg.Counter
}

// dialAgent connects as the agent with an id, from a local address if one is given.
func (s *testLink) dialAgent(network, id, from string) *agent {
	s.t.Helper()
	conn, err := s.connect(network, from)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	key, ok := readKeys(s.t, keyFile).ByID([]byte(id))
	if !ok {
		s.t.Fatalf("no agent %s", id)
	}
	s.dialled++
	a := &agent{t: s.t, conn: conn, counter: secmsg.Counter{Global: s.dialled}, stream: network == "tcp", wireID: id, key: secmsg.NewKey(key.ID, key.Name, key.Secret)}
	if key.IP.SingleHost() {
		a.wireID = ""
	}
	return a
}

func (s *testLink) connect(network, from string) (net.Conn, error) {
	var d net.Dialer
	if from != "" {
		if network == "tcp" {
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		} else {
			d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
		}
	}
	return d.Dial(network, s.link.Addr().String())
}

// encodeFrame returns a message as it is sent.
func (a *agent) encodeFrame(text string) []byte {
	a.t.Helper()
	var e secmsg.Encoder
	a.counter.Next()
	var b []byte
	if a.stream {
		b = secmsg.BeginFrame(nil)
	}
	b, err := e.AppendToManager(b, a.wireID, a.key.Cipher(a.method), a.counter, []byte(text))
	if err != nil {
		a.t.Fatal(err)
	}
	if a.stream {
		secmsg.EndFrame(b, 0)
	}
	return b
}

func (a *agent) send(text string) {
	a.t.Helper()
	a.writeRaw(a.encodeFrame(text))
}

func (a *agent) writeRaw(b []byte) {
	a.t.Helper()
	if _, err := a.conn.Write(b); err != nil {
		a.t.Fatalf("write: %v", err)
	}
}

// readFrame returns the next frame, without its length.
func (a *agent) readFrame() ([]byte, error) {
	_ = a.conn.SetReadDeadline(time.Now().Add(patience))
	if !a.stream {
		b := make([]byte, secmsg.MaxMessage)
		n, err := a.conn.Read(b)
		return b[:n], err
	}
	var length [4]byte
	if _, err := io.ReadFull(a.conn, length[:]); err != nil {
		return nil, err
	}
	b := make([]byte, binary.LittleEndian.Uint32(length[:]))
	_, err := io.ReadFull(a.conn, b)
	return b, err
}

// receive returns the next message from the manager, #pong included.
func (a *agent) receive() string {
	a.t.Helper()
	frame, err := a.readFrame()
	if err != nil {
		a.t.Fatalf("no word from the manager: %v", err)
	}
	if string(frame) == "#pong" {
		return "#pong"
	}
	h, err := secmsg.ParseHeader(frame)
	if err != nil || h.ID != nil || h.Method != a.method {
		a.t.Fatalf("manager sent %q (%v), want a message of method %v without an id", frame, err, a.method)
	}
	var d secmsg.Decoder
	m, err := d.Decode(a.key.Cipher(h.Method), h.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return string(m.Payload)
}

// expectMessage fails the test unless this is the next message from the manager.
func (a *agent) expectMessage(want string) {
	a.t.Helper()
	if got := a.receive(); got != want {
		a.t.Fatalf("manager sent %q, want %q", got, want)
	}
}

// expectNoAnswer fails the test if anything comes before the answer to a ping.
func (a *agent) expectNoAnswer() {
	a.t.Helper()
	a.sendPing()
	a.expectMessage("#pong")
}

func (a *agent) sendPing() {
	a.t.Helper()
	if a.stream {
		a.writeRaw([]byte("\x05\x00\x00\x00#ping"))
		return
	}
	a.writeRaw([]byte("#ping"))
}

// expectClosed waits for the manager to close the connection.
func (a *agent) expectClosed() {
	a.t.Helper()
	frame, err := a.readFrame()
	if !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		a.t.Fatalf("manager sent %q (%v), want the connection closed", frame, err)
	}
}

const (
	startupText   = `#!-agent startup {"version":"v4.14.7"}`
	shutdownText  = "#!-agent shutdown "
	keepAliveText = "#!-Linux |web |6.1 - Wazuh v4.14.7 / ab73af41699f13fdd81903b5f23d8d00\nca35f9148a3273413eccb79f149f4757 merged.mg\n#\"_agent_ip\":10.7.7.7\n"
	eventText     = "1:/var/log/auth.log:sshd[7]: session opened"
	ackReply      = "#!-agent ack "
)

// startAgent starts an agent and waits until it is acknowledged and seen.
func (s *testLink) startAgent(a *agent, id detector.AgentID) {
	s.t.Helper()
	a.send(startupText)
	a.expectMessage(ackReply)
	s.expectSighting(id, detector.SawStartup)
}

// logRecorder is a slog.Handler that records what is logged.
type logRecorder struct {
	mu    sync.Mutex
	lines []string
}

func (b *logRecorder) Enabled(context.Context, slog.Level) bool { return true }
func (b *logRecorder) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *logRecorder) WithGroup(string) slog.Handler            { return b }

func (b *logRecorder) Handle(_ context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, text)
	return nil
}

func (b *logRecorder) linesWith(what string) (found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.lines {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	return found
}
