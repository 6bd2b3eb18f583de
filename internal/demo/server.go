package demo

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
)

// serverPrefix is what the demo's subjects begin with on a server that is not
// its own: nobody shall take its deaths for real ones.
const serverPrefix event.Prefix = "pulse-demo"

const (
	// serverDelay is between two tries to reach the server, the node's. The
	// listener tries far more often, so as to be there first.
	serverDelay   = time.Second
	listenerDelay = 20 * time.Millisecond
	answerTime    = 5 * time.Second
)

// listener hears what the node says on somebody else's server. With JetStream
// there it reads from a stream that it makes for the demo, and so hears what was
// said while it was away itself.
type listener struct {
	client *nats.Conn
	js     jetstream.JetStream
	stream string // "" without JetStream
	heard  chan<- *nats.Msg
}

// reach connects to the server, which has to be there when the demo begins.
func reach(ctx context.Context, url, node string, heard chan<- *nats.Msg) (l *listener, err error) {
	l = &listener{heard: heard}
	if l.client, err = nats.Connect(url, nats.Name("pulse demo"), nats.MaxReconnects(-1),
		nats.ReconnectWait(listenerDelay), nats.ReconnectJitter(0, 0)); err != nil {
		return nil, fmt.Errorf("connect to --server: %w", err)
	}
	if l.js, err = jetstream.New(l.client); err != nil {
		l.client.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	name := "PULSE_DEMO_" + node
	_, err = l.js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Description: "of a pulse demo; it removes it when it ends",
		Subjects: []string{serverPrefix.All()}, MaxAge: 24 * time.Hour, MaxBytes: 1 << 30, Discard: jetstream.DiscardOld})
	switch {
	case err == nil:
		l.stream = name
	case noJetStream(err):
	default:
		l.client.Close()
		return nil, fmt.Errorf("make a stream of the demo's on --server: %w (does another demo run there?)", err)
	}
	return l, nil
}

func noJetStream(err error) bool {
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) ||
		errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) || errors.Is(err, context.DeadlineExceeded)
}

// listen hears until ctx ends; with a stream its work goes on in a goroutine.
func (l *listener) listen(ctx context.Context, work *sync.WaitGroup) error {
	if l.stream != "" {
		work.Go(func() { l.read(ctx) })
		return nil
	}
	if _, err := l.client.Subscribe(serverPrefix.All(), func(m *nats.Msg) { l.tell(ctx, m) }); err != nil {
		return err
	}
	return l.client.Flush()
}

// read reads the stream from its next message on, again after every failure.
func (l *listener) read(ctx context.Context) {
	next := uint64(1)
	for ctx.Err() == nil {
		next = l.readFrom(ctx, next)
		select {
		case <-ctx.Done():
		case <-time.After(listenerDelay):
		}
	}
}

// readFrom reads until the connection or the stream fails, and returns where to go on.
func (l *listener) readFrom(ctx context.Context, next uint64) uint64 {
	asking, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	consumer, err := l.js.CreateConsumer(asking, l.stream, jetstream.ConsumerConfig{AckPolicy: jetstream.AckNonePolicy,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: next, InactiveThreshold: time.Minute, MemoryStorage: true})
	if err != nil {
		return next
	}
	messages, err := consumer.Messages(jetstream.PullHeartbeat(time.Second), jetstream.PullExpiry(10*time.Second))
	if err != nil {
		return next
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return next
		}
		meta, err := m.Metadata()
		if err != nil || meta.Sequence.Stream < next {
			continue
		}
		if meta.Sequence.Stream > next && next > 1 {
			return next // some got lost on the way: read them again
		}
		next = meta.Sequence.Stream + 1
		l.tell(ctx, &nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
	}
}

func (l *listener) tell(ctx context.Context, m *nats.Msg) {
	select {
	case l.heard <- m:
	case <-ctx.Done():
	}
}

// close removes what the demo made on the server.
func (l *listener) close() {
	if l.stream != "" && l.client.IsConnected() {
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		_ = l.js.DeleteStream(ctx, l.stream)
	}
	l.client.Close()
}
