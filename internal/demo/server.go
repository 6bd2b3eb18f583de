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

// serverPrefix is the prefix of the demo's subjects on a server that is not
// its own, so that its messages are not taken for real ones.
const serverPrefix event.Prefix = "pulse-demo"

const (
	// serverDelay is the time between the node's tries to connect to the server.
	// The listener tries far more often, so that it is connected first.
	serverDelay   = time.Second
	listenerDelay = 20 * time.Millisecond
	answerTime    = 5 * time.Second
)

// listener receives the node's messages on a server that is not the demo's
// own. With JetStream it reads from a stream that it creates for the demo, and
// so receives what was published while it was disconnected.
type listener struct {
	client   *nats.Conn
	js       jetstream.JetStream
	stream   string // "" without JetStream
	messages chan<- *nats.Msg
}

// newListener connects to the server, which must be reachable when the demo
// begins.
func newListener(ctx context.Context, url, node string, heard chan<- *nats.Msg) (l *listener, err error) {
	l = &listener{messages: heard}
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

// startListening receives messages until ctx ends; with a stream, in a
// goroutine of work.
func (l *listener) startListening(ctx context.Context, work *sync.WaitGroup) error {
	if l.stream != "" {
		work.Go(func() { l.readStream(ctx) })
		return nil
	}
	if _, err := l.client.Subscribe(serverPrefix.All(), func(m *nats.Msg) { l.deliverMessage(ctx, m) }); err != nil {
		return err
	}
	return l.client.Flush()
}

// readStream reads the stream from its next message on, again after every
// failure.
func (l *listener) readStream(ctx context.Context) {
	next := uint64(1)
	for ctx.Err() == nil {
		next = l.readFrom(ctx, next)
		select {
		case <-ctx.Done():
		case <-time.After(listenerDelay):
		}
	}
}

// readFrom reads until the connection or the stream fails, and returns the
// next sequence.
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
			return next // some were lost: read them again
		}
		next = meta.Sequence.Stream + 1
		l.deliverMessage(ctx, &nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
	}
}

func (l *listener) deliverMessage(ctx context.Context, m *nats.Msg) {
	select {
	case l.messages <- m:
	case <-ctx.Done():
	}
}

// close removes the demo's stream from the server.
func (l *listener) close() {
	if l.stream != "" && l.client.IsConnected() {
		ctx, cancel := context.WithTimeout(context.Background(), answerTime)
		defer cancel()
		_ = l.js.DeleteStream(ctx, l.stream)
	}
	l.client.Close()
}
