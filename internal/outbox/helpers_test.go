package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
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
	retry: 20 * time.Millisecond, epoch: 5 * time.Second, stuck: 800 * time.Millisecond, unknown: 2 * time.Second, diskRetry: 10 * time.Millisecond, tick: 5 * time.Millisecond}

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

// newTestLog returns a log to wait for.
func newTestLog() (*testsupport.Log, *slog.Logger) {
	b := new(testsupport.Log)
	return b, slog.New(slog.NewTextHandler(b, nil))
}

// firstSubjects returns the subjects of the first three messages.
func firstSubjects(msgs []Message) (subjects []string) {
	for _, m := range msgs[:3] {
		subjects = append(subjects, m.Subject)
	}
	return subjects
}
