package testsupport

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// waitMax is far longer than any wait that succeeds.
const waitMax = 90 * time.Second

func newContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), waitMax)
	t.Cleanup(cancel)
	return ctx
}

// ConnectNATS makes a client that the test closes at its end.
func ConnectNATS(t testing.TB, url string, opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

// WaitForStored waits until a stream holds n messages (of the given subjects only,
// if any are) and returns the IDs of all it holds.
func WaitForStored(t testing.TB, js jetstream.JetStream, stream string, n int, subjects ...string) []string {
	t.Helper()
	ctx := newContext(t)
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

// ReadDurably reads and acknowledges messages of STATUS as a platform does that keeps its
// place. It fails the test unless the stream begins with messages of these subjects.
func ReadDurably(t testing.TB, js jetstream.JetStream, subjects ...string) {
	t.Helper()
	ctx := newContext(t)
	cons, err := js.CreateOrUpdateConsumer(ctx, "STATUS", jetstream.ConsumerConfig{Durable: "xdr", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range subjects {
		m, err := cons.Next(jetstream.FetchContext(ctx))
		if err != nil {
			t.Fatal(err)
		}
		if m.Subject() != subject {
			t.Errorf("got %s, want %s", m.Subject(), subject)
		}
		if err := m.DoubleAck(ctx); err != nil {
			t.Error(err)
		}
	}
	info, err := cons.Info(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if info.AckFloor.Stream != uint64(len(subjects)) {
		t.Errorf("acknowledged up to %d", info.AckFloor.Stream)
	}
}
