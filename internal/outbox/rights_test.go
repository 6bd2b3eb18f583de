package outbox

import (
	"errors"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func TestAReaderReadsEverything(t *testing.T) {
	o := mustOpen(t, Config{Listen: "127.0.0.1:0"})
	nc, js := connect(t, o.URL())
	sub, err := nc.SubscribeSync(prefix + ".>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	msgs := messages(Status, 1, 100)
	mustPublish(t, o, msgs)
	if m, err := sub.NextMsgWithContext(testContext(t)); err != nil || m.Subject != msgs[0].Subject {
		t.Errorf("subscription got %v, %v", m, err)
	}
	if diff := cmp.Diff(ids(msgs), storedIn(t, js, "STATUS", len(msgs))); diff != "" {
		t.Error(diff)
	}
	readDurably(t, js, msgs)
	var names []string
	list := js.StreamNames(testContext(t))
	for name := range list.Name() {
		names = append(names, name)
	}
	slices.Sort(names)
	if diff := cmp.Diff([]string{"STATUS", "TELEMETRY"}, names); diff != "" || list.Err() != nil {
		t.Error(diff, list.Err())
	}
}

// readDurably reads and acknowledges as a platform does that keeps its place.
func readDurably(t *testing.T, js jetstream.JetStream, want []Message) {
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

func TestAReaderChangesNothing(t *testing.T) {
	o := mustOpen(t, Config{Listen: "127.0.0.1:0"})
	mustPublish(t, o, append(messages(Status, 1, 1), messages(Telemetry, 1, 1)...))
	refused := make(chan error, 1)
	nc, _ := connect(t, o.URL(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	for _, subject := range []string{
		prefix + ".agent.001.status_change",
		prefix + ".alerts.fleet_outage",
		prefix + ".manager.keepalive.001",
		prefix,
		"elsewhere",
		"$JS.API.STREAM.CREATE.MINE",
		"$JS.API.STREAM.UPDATE.STATUS",
		"$JS.API.STREAM.DELETE.STATUS",
		"$JS.API.STREAM.PURGE.TELEMETRY",
		"$JS.API.STREAM.MSG.DELETE.STATUS",
		"$JS.API.STREAM.SNAPSHOT.STATUS",
		"$JS.API.STREAM.RESTORE.STATUS",
		"$JS.API.CONSUMER.DELETE.STATUS.other",
		"$JS.API.CONSUMER.PAUSE.STATUS.other",
		"$JS.API.CONSUMER.CREATE.OTHER",
		"$SYS.REQ.SERVER.PING",
		"_INBOX.other",
	} {
		t.Run("publish "+subject, func(t *testing.T) {
			if err := nc.Publish(subject, []byte(`{}`)); err != nil {
				t.Fatal(err)
			}
			awaitRefusal(t, refused)
		})
	}
	for _, subject := range []string{">", "$JS.>", "$SYS.>", "wazuh.>"} {
		t.Run("subscribe "+subject, func(t *testing.T) {
			if _, err := nc.SubscribeSync(subject); err != nil {
				t.Fatal(err)
			}
			awaitRefusal(t, refused)
		})
	}
	if s := o.Stats(); s.Status.Messages != 1 || s.Telemetry.Messages != 1 {
		t.Errorf("streams hold %+v", s)
	}
}

func awaitRefusal(t *testing.T, refused <-chan error) {
	t.Helper()
	select {
	case err := <-refused:
		if !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("got %v", err)
		}
	case <-testContext(t).Done():
		t.Error("not refused")
	}
}

func TestNobodyLogsInAsMoreThanAReader(t *testing.T) {
	o := mustOpen(t, Config{Listen: "127.0.0.1:0"})
	for _, user := range []nats.Option{nats.UserInfo("reader", "x"), nats.UserInfo("pulse", "pulse"), nats.Token("x")} {
		if nc, err := nats.Connect(o.URL(), user); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("got %v", err)
			nc.Close()
		}
	}
}

func TestWithoutListenThereIsNoURL(t *testing.T) {
	if o := mustOpen(t, Config{}); o.URL() != "" || o.srv.Addr() != nil {
		t.Errorf("URL is %q, address %v", o.URL(), o.srv.Addr())
	}
}
