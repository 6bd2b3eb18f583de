package outbox

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if runAsChild() {
		return
	}
	goleak.VerifyTestMain(m)
}

const prefix = "wazuh.xdr"

// quick shortens what a broken connection costs. On a busy machine a wait may
// then end too soon: the messages are sent again, as they would be in earnest.
var quick = timing{ack: 10 * time.Second, confirm: 500 * time.Millisecond, silence: 5 * time.Second, outage: 20 * time.Millisecond, review: 50 * time.Millisecond, lossCheck: 20 * time.Millisecond,
	retry: 20 * time.Millisecond, stuck: 800 * time.Millisecond, unknown: 2 * time.Second, diskRetry: 10 * time.Millisecond, tick: 5 * time.Millisecond}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), waitMax)
	t.Cleanup(cancel)
	return ctx
}

func mustOpen(t testing.TB, cfg Config) *Outbox {
	t.Helper()
	if cfg.Prefix == "" {
		cfg.Prefix = prefix
	}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	o, err := openOutbox(testContext(t), cfg, quick)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, o) })
	return o
}

func mustClose(t testing.TB, o *Outbox) {
	t.Helper()
	if err := o.Close(); err != nil {
		t.Error(err)
	}
}

func mustPublish(t testing.TB, o *Outbox, msgs []Message) {
	t.Helper()
	if err := o.Publish(testContext(t), msgs); err != nil {
		t.Fatal(err)
	}
}

// messages makes those numbered from to to, both included.
func messages(c Class, from, to int) []Message {
	var msgs []Message
	for i := from; i <= to; i++ {
		subject := fmt.Sprintf("%s.manager.keepalive.%03d", prefix, i)
		if c == Status {
			subject = fmt.Sprintf("%s.agent.%03d.status_change", prefix, i)
		}
		msgs = append(msgs, Message{
			Class: c, Subject: subject, ID: fmt.Sprintf("node01-%d-%d", c+1, i),
			ContentType: "application/json", Data: fmt.Appendf(nil, `{"n":%d}`, i),
		})
	}
	return msgs
}

func ids(msgs []Message) []string {
	var ids []string
	for _, m := range msgs {
		ids = append(ids, m.ID)
	}
	return ids
}

// connect makes a client that the test closes at its end.
func connect(t testing.TB, url string, opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// storedIn waits until a stream holds n messages (of the given subjects only,
// if any are) and returns the IDs of all it holds.
func storedIn(t testing.TB, js jetstream.JetStream, stream string, n int, subjects ...string) []string {
	t.Helper()
	ctx := testContext(t)
	cons, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{FilterSubjects: subjects})
	if err != nil {
		t.Fatal(err)
	}
	msgs, err := cons.Messages()
	if err != nil {
		t.Fatal(err)
	}
	defer msgs.Stop()
	var ids []string
	for more := true; more || len(ids) < n; {
		m, err := msgs.Next(jetstream.NextContext(ctx))
		if err != nil {
			t.Fatalf("stream %s has %d messages, want %d: %v", stream, len(ids), n, err)
		}
		ids = append(ids, m.Headers().Get(jetstream.MsgIDHeader))
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		more = meta.NumPending > 0
	}
	return ids
}

// readDurably reads and acknowledges as a platform does that keeps its place.
func readDurably(t testing.TB, js jetstream.JetStream, want []Message) {
	t.Helper()
	ctx := testContext(t)
	cons, err := js.CreateOrUpdateConsumer(ctx, "STATUS", jetstream.ConsumerConfig{Durable: "xdr", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range want[:3] {
		m, err := cons.Next(jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject() != w.Subject {
			t.Errorf("got %s, want %s", m.Subject(), w.Subject)
		}
		if err := m.DoubleAck(ctx); err != nil {
			t.Error(err)
		}
	}
	info, err := cons.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if info.AckFloor.Stream != 3 {
		t.Errorf("acknowledged up to %d", info.AckFloor.Stream)
	}
}

// farSide is the NATS server forwarded to, behind a proxy that keeps its
// address while the server restarts or the network between is cut.
type farSide struct {
	t     testing.TB
	dir   string
	setup func(*server.Options)
	srv   *server.Server
	proxy *proxy
}

func newFarSide(t testing.TB, setup func(*server.Options)) *farSide {
	f := &farSide{t: t, dir: t.TempDir(), setup: setup, proxy: newProxy(t)}
	f.start()
	t.Cleanup(func() { f.srv.Shutdown(); f.srv.WaitForShutdown() })
	return f
}

func withJetStream(o *server.Options) { o.JetStream = true }

func (f *farSide) start() {
	f.t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, StoreDir: f.dir}
	if f.setup != nil {
		f.setup(opts)
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		f.t.Fatal(err)
	}
	srv.Start()
	if !srv.ReadyForConnections(10 * time.Second) {
		f.t.Fatal("remote server is not ready")
	}
	f.srv = srv
	f.proxy.setTarget(srv.Addr().String())
}

func (f *farSide) stop() {
	f.srv.Shutdown()
	f.srv.WaitForShutdown()
}

// remote is how the outbox reaches it: a quick retry, through the proxy.
func (f *farSide) remote(change ...func(*remote.Config)) *remote.Remote {
	f.t.Helper()
	cfg := remote.Config{URL: "nats://" + f.proxy.addr(), MaxReconnects: 3, ReconnectDelay: 20 * time.Millisecond,
		Timeout: 500 * time.Millisecond, PingInterval: time.Second, Log: slog.New(slog.DiscardHandler)}
	for _, c := range change {
		c(&cfg)
	}
	r, err := remote.Open(cfg)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(r.Close)
	return r
}

func logTo(log *slog.Logger) func(*remote.Config) {
	return func(cfg *remote.Config) { cfg.Log = log }
}

func withPassword(t testing.TB) func(*remote.Config) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(cfg *remote.Config) { cfg.User, cfg.PasswordFile = "pulse", file }
}

// testLog collects log lines, and lets a test wait for one.
type testLog struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wrote chan struct{}
}

func newTestLog() (*testLog, *slog.Logger) {
	b := &testLog{wrote: make(chan struct{}, 1)}
	return b, slog.New(slog.NewTextHandler(b, nil))
}

func (b *testLog) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case b.wrote <- struct{}{}:
	default:
	}
	return b.text.Write(p)
}

func (b *testLog) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *testLog) waitFor(t testing.TB, words string) {
	t.Helper()
	ctx := testContext(t)
	for !strings.Contains(b.String(), words) {
		select {
		case <-b.wrote:
		case <-ctx.Done():
			t.Fatalf("log never said %q:\n%s", words, b)
		}
	}
}
