package outbox

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/testport"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// waitMax is how long a test waits for what has to come, and attempt for an answer
// to one question: a server that dies takes questions along.
const (
	waitMax = 3 * time.Minute
	attempt = 3 * time.Second
)

// far is the other side: NATS servers in processes of their own, each behind a
// proxy, and a stream in all of them that takes everything.
type far struct {
	t       testing.TB
	servers []*process
	ready   chan struct{}
	proxies []*proxy
	js      jetstream.JetStream // directly
	stream  jetstream.Stream
}

func newFar(t testing.TB, servers int) *far {
	t.Helper()
	f := &far{t: t, ready: make(chan struct{}, servers)}
	parts := make([]*serverConfig, servers)
	var urls, routes []string
	for i := range parts {
		name := fmt.Sprintf("far%d", i+1)
		parts[i] = &serverConfig{Name: name, Dir: filepath.Join(t.TempDir(), name), Host: "127.0.0.1", Port: testport.Free(t)}
		urls = append(urls, fmt.Sprintf("nats://127.0.0.1:%d", parts[i].Port))
		if servers > 1 {
			parts[i].ClusterPort = testport.Free(t)
			routes = append(routes, fmt.Sprintf("nats://127.0.0.1:%d", parts[i].ClusterPort))
		}
	}
	for i, p := range parts {
		p.Routes = routes
		f.servers = append(f.servers, newProcess(t, p.Name, childConfig{Server: p}, func(string) { f.ready <- struct{}{} }))
		f.proxies = append(f.proxies, newProxy(t))
		f.proxies[i].setTarget(strings.TrimPrefix(urls[i], "nats://"))
		f.servers[i].start()
	}
	for range parts {
		<-f.ready
	}
	nc, js := testsupport.ConnectNATS(t, strings.Join(urls, ","), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	_, f.js = nc, js
	f.makeStream()
	return f
}

// makeStream tries until the servers have found each other.
func (f *far) makeStream() {
	f.t.Helper()
	ctx, cancel := context.WithTimeout(f.t.Context(), waitMax)
	defer cancel()
	var last error
	for {
		var err error
		try, stop := context.WithTimeout(ctx, attempt)
		f.stream, err = f.js.CreateOrUpdateStream(try, jetstream.StreamConfig{Name: "XDR", Subjects: []string{prefix + ".>"}, Replicas: len(f.servers)})
		stop()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			f.t.Fatalf("make the far stream: %v (before: %v)\n%s", err, last, f.servers[0].stderrTail())
		}
		last = err
		pause(ctx, 100*time.Millisecond)
	}
}

// remakeStream deletes the stream and makes it again after a while. What it holds at its end,
// each gets: it is full before, so that nothing comes in between.
func (f *far) remakeStream(ctx context.Context, after uint64, each func(string, []byte) error, away time.Duration) error {
	if err := f.retry(ctx, func(ctx context.Context) error {
		info, err := f.stream.Info(ctx)
		if err != nil {
			return err
		}
		cfg := info.Config
		cfg.MaxMsgs, cfg.Discard = max(1, int64(info.State.Msgs)), jetstream.DiscardNew
		_, err = f.js.UpdateStream(ctx, cfg)
		return err
	}); err != nil {
		return err
	}
	if err := f.retry(ctx, func(ctx context.Context) error {
		info, err := f.stream.Info(ctx)
		if err != nil {
			return err
		}
		if after, err = f.read(ctx, after, each); err == nil && after < info.State.LastSeq {
			err = errors.New("not all is read")
		}
		return err
	}); err != nil {
		return err
	}
	if err := f.retry(ctx, func(ctx context.Context) error {
		err := f.js.DeleteStream(ctx, "XDR")
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = nil
		}
		return err
	}); err != nil {
		return err
	}
	<-time.After(away)
	f.makeStream()
	return nil
}

// retry tries until it works, or the history is wrong.
func (f *far) retry(ctx context.Context, try func(context.Context) error) error {
	for {
		asking, stop := context.WithTimeout(ctx, attempt)
		err := try(asking)
		stop()
		if err == nil || errors.Is(err, errHistory) || ctx.Err() != nil {
			return err
		}
		pause(ctx, 20*time.Millisecond)
	}
}

// restart ends a server without a word, and starts it after a while.
func (f *far) restart(i int, after time.Duration) {
	f.servers[i].end(syscall.SIGKILL)
	<-time.After(after)
	f.servers[i].start()
	<-f.ready
}

// leader is the server that leads the stream, as far as is known; another one else.
func (f *far) leader(another int) int {
	ctx, stop := context.WithTimeout(f.t.Context(), attempt)
	defer stop()
	info, err := f.stream.Info(ctx)
	if err != nil || info.Cluster == nil {
		return another
	}
	for i, s := range f.servers {
		if s.part.Server.Name == info.Cluster.Leader {
			return i
		}
	}
	return another
}

func (f *far) heal() {
	for _, p := range f.proxies {
		p.heal()
	}
}

// url leads through the proxies.
func (f *far) url() string {
	var urls []string
	for _, p := range f.proxies {
		urls = append(urls, "nats://"+p.addr())
	}
	return strings.Join(urls, ",")
}

// read gives each what the stream holds after a sequence, and returns the last one.
func (f *far) read(ctx context.Context, after uint64, each func(subject string, data []byte) error) (uint64, error) {
	asking, stop := context.WithTimeout(ctx, attempt)
	defer stop()
	info, err := f.stream.Info(asking)
	if err != nil || info.State.LastSeq <= after {
		return after, err
	}
	cons, err := f.js.OrderedConsumer(asking, "XDR", jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: after + 1})
	if err != nil {
		return after, err
	}
	msgs, err := cons.Messages()
	if err != nil {
		return after, err
	}
	defer msgs.Stop()
	for after < info.State.LastSeq {
		m, err := f.next(ctx, msgs)
		if err != nil {
			return after, err
		}
		meta, err := m.Metadata()
		if err != nil {
			return after, err
		}
		if meta.Sequence.Stream != after+1 {
			return after, fmt.Errorf("the far stream has %d after %d", meta.Sequence.Stream, after)
		}
		after++
		if err := each(m.Subject(), m.Data()); err != nil {
			return after, err
		}
	}
	return after, nil
}

func (f *far) next(ctx context.Context, msgs jetstream.MessagesContext) (jetstream.Msg, error) {
	ctx, stop := context.WithTimeout(ctx, attempt)
	defer stop()
	return msgs.Next(jetstream.NextContext(ctx))
}
