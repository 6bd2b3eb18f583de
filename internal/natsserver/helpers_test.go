package natsserver

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"
)

// The server that a test has ended waits some seconds more for the answer of a stream's source.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

const prefix = "wazuh.xdr"

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// testNode is a server with the two streams, and its owner's connection.
type testNode struct {
	*Server
	nc   *nats.Conn
	js   jetstream.JetStream
	stop func()
}

func startNode(t testing.TB, cfg Config) *testNode {
	t.Helper()
	cfg.Prefix = prefix
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := &testNode{Server: s}
	run, cancel := context.WithCancel(context.Background())
	var limiting sync.WaitGroup
	n.stop = sync.OnceFunc(func() {
		cancel()
		limiting.Wait()
		if n.nc != nil {
			n.nc.Close()
		}
		s.Stop()
	})
	t.Cleanup(n.stop)
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	if n.nc, err = s.Connect(Owner); err != nil {
		t.Fatal(err)
	}
	if n.js, err = jetstream.New(n.nc, jetstream.WithDefaultTimeout(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for name, subjects := range map[string][]string{
		StatusStream:    {prefix + ".agent.*.status_change", prefix + ".alerts.>"},
		TelemetryStream: {prefix + ".manager.>"},
	} {
		if _, err := n.js.CreateOrUpdateStream(testContext(t), jetstream.StreamConfig{Name: name, Subjects: subjects, AllowDirect: true}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.ServeReaders(n.nc, n.js); err != nil {
		t.Fatal(err)
	}
	limiting.Go(func() { s.LimitConnections(run) })
	return n
}

// messages returns those numbered from to to, both included, of a stream.
func messages(stream string, from, to int) (msgs []*nats.Msg) {
	for i := from; i <= to; i++ {
		m := nats.NewMsg(fmt.Sprintf("%s.manager.keepalive.%03d", prefix, i))
		if stream == StatusStream {
			m.Subject = fmt.Sprintf("%s.agent.%03d.status_change", prefix, i)
		}
		m.Header.Set(jetstream.MsgIDHeader, fmt.Sprintf("%s-%d", stream, i))
		m.Data = fmt.Appendf(nil, `{"n":%d}`, i)
		msgs = append(msgs, m)
	}
	return msgs
}

func ids(msgs []*nats.Msg) (ids []string) {
	for _, m := range msgs {
		ids = append(ids, m.Header.Get(jetstream.MsgIDHeader))
	}
	return ids
}

func mustPublish(t testing.TB, n *testNode, msgs []*nats.Msg) {
	t.Helper()
	for _, m := range msgs {
		if _, err := n.js.PublishMsg(testContext(t), m); err != nil {
			t.Fatal(err)
		}
	}
}

func listen(t testing.TB, nc *nats.Conn) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(prefix + ".>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return sub
}

// countLines returns how many lines of a log contain words, when it is called.
func countLines() (log *slog.Logger, count func(words string) int) {
	var mu sync.Mutex
	var text bytes.Buffer
	write := writerFunc(func(p []byte) (int, error) {
		mu.Lock()
		defer mu.Unlock()
		return text.Write(p)
	})
	return slog.New(slog.NewTextHandler(write, nil)), func(words string) int {
		mu.Lock()
		defer mu.Unlock()
		return strings.Count(text.String(), words)
	}
}

type writerFunc func(p []byte) (int, error)

func (w writerFunc) Write(p []byte) (int, error) { return w(p) }

// firstSubjects returns the subjects of the first three messages.
func firstSubjects(msgs []*nats.Msg) (subjects []string) {
	for _, m := range msgs[:3] {
		subjects = append(subjects, m.Subject)
	}
	return subjects
}
