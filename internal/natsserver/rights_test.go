package natsserver

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

func TestAReaderReadsEverything(t *testing.T) {
	n := startNode(t, Config{Listen: "127.0.0.1:0"})
	nc, js := testsupport.ConnectNATS(t, n.URL())
	sub, err := nc.SubscribeSync(prefix + ".>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	msgs := messages(StatusStream, 1, 100)
	mustPublish(t, n, msgs)
	if m, err := sub.NextMsgWithContext(testContext(t)); err != nil || m.Subject != msgs[0].Subject {
		t.Errorf("subscription got %v, %v", m, err)
	}
	if diff := cmp.Diff(ids(msgs), testsupport.WaitForStored(t, js, "STATUS", len(msgs))); diff != "" {
		t.Error(diff)
	}
	testsupport.ReadDurably(t, js, firstSubjects(msgs)...)
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

// An ordered consumer, a durable one and a subscription are above; this is what else clients do.
func TestAReadersOrdinaryRequests(t *testing.T) {
	n := startNode(t, Config{Listen: "127.0.0.1:0"})
	ctx := testContext(t)
	nc, js := testsupport.ConnectNATS(t, n.URL())
	msgs := messages(TelemetryStream, 1, 3000)
	mustPublish(t, n, msgs)
	if diff := cmp.Diff(ids(msgs), testsupport.WaitForStored(t, js, "TELEMETRY", len(msgs))); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(ids(msgs[6:7]), testsupport.WaitForStored(t, js, "TELEMETRY", 1, msgs[6].Subject)); diff != "" {
		t.Error("filtered:", diff)
	}
	stream, err := js.Stream(ctx, "TELEMETRY")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := stream.GetMsg(ctx, 7); err != nil || m.Subject != msgs[6].Subject {
		t.Errorf("message 7 is %v, %v", m, err)
	}
	if m, err := stream.GetLastMsgForSubject(ctx, msgs[8].Subject); err != nil || m.Sequence != 9 {
		t.Errorf("last message of a subject is %v, %v", m, err)
	}
	if info, err := js.AccountInfo(ctx); err != nil || info.Streams != 2 {
		t.Errorf("account is %+v, %v", info, err)
	}
	if _, err := stream.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: "named"}); err != nil {
		t.Fatal(err)
	}
	var names []string
	list := stream.ConsumerNames(ctx)
	for name := range list.Name() {
		names = append(names, name)
	}
	if !slices.Contains(names, "named") || list.Err() != nil {
		t.Errorf("consumers %q, %v", names, list.Err())
	}
	readWithTheOlderClient(t, nc, msgs)
	_, err = stream.CreatePushConsumer(ctx, jetstream.ConsumerConfig{DeliverSubject: nats.NewInbox()})
	if err == nil || !strings.Contains(err.Error(), "use a pull consumer") {
		t.Errorf("push consumer: %v", err)
	}
}

func readWithTheOlderClient(t *testing.T, nc *nats.Conn, want []*nats.Msg) {
	t.Helper()
	old, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	sub, err := old.PullSubscribe(prefix+".manager.>", "older")
	if err != nil {
		t.Fatal(err)
	}
	got, err := sub.Fetch(100, nats.Context(testContext(t)))
	if err != nil || len(got) != 100 || got[99].Subject != want[99].Subject {
		t.Fatalf("fetched %d: %v", len(got), err)
	}
	for _, m := range got {
		if err := m.AckSync(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestADurableReaderGoesOnAfterARestart(t *testing.T) {
	dir := t.TempDir()
	ctx := testContext(t)
	durable := jetstream.ConsumerConfig{Durable: "xdr", AckPolicy: jetstream.AckExplicitPolicy}
	msgs := messages(StatusStream, 1, 10)
	for start := range 2 {
		n := startNode(t, Config{Dir: dir, Listen: "127.0.0.1:0"})
		if start == 0 {
			mustPublish(t, n, msgs)
		}
		_, js := testsupport.ConnectNATS(t, n.URL())
		cons, err := js.CreateOrUpdateConsumer(ctx, "STATUS", durable)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 5 {
			m, err := cons.Next(jetstream.FetchContext(ctx))
			if err != nil {
				t.Fatal(err)
			}
			if want := msgs[5*start+i].Subject; m.Subject() != want {
				t.Errorf("start %d: got %s, want %s", start, m.Subject(), want)
			}
			if err := m.DoubleAck(ctx); err != nil {
				t.Fatal(err)
			}
		}
		n.stop()
	}
}

func TestNobodyLogsInAsMoreThanAReader(t *testing.T) {
	n := startNode(t, Config{Listen: "127.0.0.1:0"})
	for _, user := range []nats.Option{nats.UserInfo("reader", "x"), nats.UserInfo("pulse", "pulse"), nats.Token("x")} {
		if nc, err := nats.Connect(n.URL(), user); !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("got %v", err)
			nc.Close()
		}
	}
}

func TestWithoutListenThereIsNoURL(t *testing.T) {
	if n := startNode(t, Config{}); n.URL() != "" || n.running().Addr() != nil {
		t.Errorf("URL is %q, address %v", n.URL(), n.running().Addr())
	}
}
