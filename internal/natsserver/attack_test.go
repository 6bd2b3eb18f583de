package natsserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// fixture is a server with published messages, a subscription to all that is live in
// the account of the streams, and an anonymous reader.
type fixture struct {
	*testing.T
	node   *testNode
	sent   []*nats.Msg
	inside *nats.Subscription
	reader *nats.Conn
	js     jetstream.JetStream
	seen   *nats.Subscription // by readers
}

func newFixture(t *testing.T) *fixture {
	n := startNode(t, Config{Listen: "127.0.0.1:0"})
	s := &fixture{T: t, node: n, sent: append(messages(StatusStream, 1, 5), messages(TelemetryStream, 1, 5)...)}
	s.inside = listen(t, n.nc)
	mustPublish(t, n, s.sent)
	s.reader, s.js = testsupport.ConnectNATS(t, n.URL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	s.seen = listen(t, s.reader)
	return s
}

// unharmed publishes one more message of each class, and wants those and the
// ones before in the streams and heard live: nothing else, nothing less.
func (s *fixture) unharmed() {
	s.Helper()
	s.sent = append(s.sent, append(messages(StatusStream, 6, 6), messages(TelemetryStream, 6, 6)...)...)
	mustPublish(s, s.node, s.sent[len(s.sent)-2:])
	for _, c := range []string{StatusStream, TelemetryStream} {
		if diff := cmp.Diff(ids(messages(c, 1, 6)), testsupport.WaitForStored(s, s.node.js, c, 6)); diff != "" {
			s.Errorf("%s: %s", c, diff)
		}
	}
	for _, want := range s.sent {
		m, err := s.inside.NextMsgWithContext(testContext(s))
		if err != nil {
			s.Fatal(err)
		}
		if m.Subject != want.Subject || string(m.Data) != string(want.Data) {
			s.Errorf("heard %s %s, want %s", m.Subject, m.Data, want.Subject)
		}
	}
	if n, _, err := s.inside.Pending(); n > 0 || err != nil {
		s.Errorf("heard %d more, %v", n, err)
	}
}

func TestAnAnswerUnderThePrefixReachesNoStream(t *testing.T) {
	s := newFixture(t)
	if _, err := s.js.CreateConsumer(testContext(t), "STATUS", jetstream.ConsumerConfig{Durable: "mine"}); err != nil {
		t.Fatal(err)
	}
	for i, attack := range []struct{ request, body string }{
		{"INFO", ""},
		{"STREAM.NAMES", ""},
		{"STREAM.LIST", ""},
		{"STREAM.INFO.STATUS", ""},
		{"STREAM.INFO.TELEMETRY", "no JSON"},
		{"STREAM.MSG.GET.STATUS", `{"seq":1}`},
		{"DIRECT.GET.STATUS", `{"seq":1}`},
		{"DIRECT.GET.STATUS", `{"seq":1,"batch":3}`},
		{"DIRECT.GET.STATUS." + prefix + ".agent.001.status_change", ""},
		{"CONSUMER.NAMES.STATUS", ""},
		{"CONSUMER.LIST.STATUS", ""},
		{"CONSUMER.INFO.STATUS.mine", ""},
		{"CONSUMER.CREATE.STATUS", `{"stream_name":"STATUS","config":{"ack_policy":"none"}}`},
		{"CONSUMER.CREATE.STATUS", "no JSON"},
		{"CONSUMER.MSG.NEXT.STATUS.mine", "2"},
		{"CONSUMER.MSG.NEXT.STATUS.mine", `{"no_wait":true,"batch":10}`},
		{"CONSUMER.MSG.NEXT.STATUS.mine", `{"no_wait":true}`}, // a status without a body
	} {
		for _, reply := range []string{
			fmt.Sprintf("%s.agent.%d.status_change", prefix, 900+i),
			fmt.Sprintf("%s.manager.keepalive.%d", prefix, 900+i),
		} {
			if err := s.reader.PublishRequest(apiPrefix+attack.request, reply, []byte(attack.body)); err != nil {
				t.Fatal(err)
			}
			s.answered(reply)
		}
	}
	s.unharmed()
}

// answered waits until readers have seen an answer under subject.
func (s *fixture) answered(subject string) {
	s.Helper()
	for {
		m, err := s.seen.NextMsgWithContext(testContext(s))
		if err != nil {
			s.Fatalf("no answer under %s: %v", subject, err)
		}
		if m.Subject == subject || m.Reply != "" || len(m.Header) > 0 { // a pulled message has its own subject
			return
		}
	}
}

func TestAnAnswerToAnotherRequestDoesNothing(t *testing.T) {
	s := newFixture(t)
	for _, reply := range []string{
		"$JS.API.STREAM.PURGE.STATUS", "$JS.API.STREAM.DELETE.STATUS", "$JS.API.STREAM.MSG.DELETE.STATUS",
		"$JS.API.CONSUMER.CREATE.STATUS", "$JS.API.STREAM.INFO.STATUS", proxyPrefix + "CONSUMER.CREATE.STATUS",
		"$JS.ACK.STATUS.mine.1.1.1.1.0", "_R_.abcdef.abcdef", "$SYS.REQ.SERVER.PING",
	} {
		for _, request := range []string{"STREAM.INFO.STATUS", "CONSUMER.CREATE.STATUS", "DIRECT.GET.STATUS"} {
			if err := s.reader.PublishRequest(apiPrefix+request, reply, []byte(`{"seq":1}`)); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.allDone()
	s.unharmed()
}

// allDone returns when the server has answered what the reader asked, as far as one can know.
func (s *fixture) allDone() {
	s.Helper()
	if _, err := s.js.CreateConsumer(testContext(s), "STATUS", jetstream.ConsumerConfig{}); err != nil {
		s.Fatal(err)
	}
}

func TestAMessageTraceUnderThePrefixReachesNoStream(t *testing.T) {
	s := newFixture(t)
	for _, only := range []string{"true", "false"} {
		for _, request := range []string{"STREAM.INFO.STATUS", "CONSUMER.CREATE.STATUS", "DIRECT.GET.STATUS", "INFO"} {
			m := nats.NewMsg(apiPrefix + request)
			m.Reply = prefix + ".alerts.fleet_outage"
			m.Data = []byte(`{"seq":1}`)
			m.Header.Set("Nats-Trace-Dest", prefix+".agent.001.status_change")
			m.Header.Set("Nats-Trace-Only", only)
			if err := s.reader.PublishMsg(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.allDone()
	s.unharmed()
}

func TestPushConsumersAreRefused(t *testing.T) {
	s := newFixture(t)
	const push = `{"stream_name":"TELEMETRY","config":{"deliver_subject":"TARGET","name":"NAME","durable_name":"NAME","ack_policy":"none"}}`
	bodies := []string{
		push,
		strings.Replace(push, "deliver_subject", "Deliver_SUBJECT", 1),
		strings.Replace(push, `"ack_policy"`, `"deliver_subject":"TARGET","ack_policy"`, 1),
		strings.Replace(push, `"config"`, `"config":{"ack_policy":"none"},"CONFIG"`, 1),
		strings.Replace(push, `"TARGET"`, `"`+prefix+`.x","deliver_group":"g"`, 1),
	}
	for _, target := range []string{prefix + ".agent.001.status_change", "$JS.API.STREAM.PURGE.STATUS", "$JS.API.STREAM.DELETE.STATUS"} {
		for _, request := range []string{"CREATE.TELEMETRY", "CREATE.TELEMETRY.NAME", "CREATE.TELEMETRY.NAME." + prefix + ".manager.>", "DURABLE.CREATE.TELEMETRY.NAME"} {
			for _, body := range bodies {
				answer, err := s.reader.RequestWithContext(testContext(t), apiPrefix+"CONSUMER."+request, []byte(strings.ReplaceAll(body, "TARGET", target)))
				if err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(string(answer.Data), "push consumers are not for readers") {
					t.Errorf("%s %s\n%s", request, body, answer.Data)
				}
			}
		}
	}
	s.unharmed()
}

func TestTheConsumerProxyRefuses(t *testing.T) {
	s := newFixture(t)
	ctx := testContext(t)
	for want, cfg := range map[string]jetstream.ConsumerConfig{
		"taken by Pulse itself": {Name: ForwardConsumer},
		"max_ack_pending":       {MaxAckPending: -1},
		"max_waiting":           {MaxWaiting: 1000},
		"at most 65536":         {Description: strings.Repeat("x", requestMax)},
	} {
		if _, err := s.js.CreateConsumer(ctx, "STATUS", cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q: %v", want, err)
		}
	}
	for body, want := range map[string]string{
		`{"stream_name":"OTHER","config":{}}`:                     "stream name in subject does not match",
		`{"stream_name":"STATUS","config":{"name":"pulse-last"}}`: "taken by Pulse itself",
	} {
		answer, err := s.reader.RequestWithContext(ctx, apiPrefix+"CONSUMER.CREATE.STATUS", []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(answer.Data), want) || !json.Valid(answer.Data) {
			t.Errorf("%s: %s", body, answer.Data)
		}
	}
}

// from returns a reader at an address.
func (s *fixture) from(addr string) jetstream.JetStream {
	s.Helper()
	_, js := testsupport.ConnectNATS(s, s.node.URL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.Dialer(&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}))
	return js
}

func TestOneReaderCannotTakeAllConsumers(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	ctx := testContext(t)
	hog := s.from("127.0.0.66")
	for i := range consumersPerClient {
		if _, err := hog.CreateConsumer(ctx, "STATUS", jetstream.ConsumerConfig{Durable: fmt.Sprint("c", i), MemoryStorage: true}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := hog.CreateConsumer(ctx, "STATUS", jetstream.ConsumerConfig{Durable: "more"}); err == nil || !strings.Contains(err.Error(), "all in use") {
		t.Errorf("one more: %v", err)
	}
	if _, err := hog.CreateOrUpdateConsumer(ctx, "STATUS", jetstream.ConsumerConfig{Durable: "c7", MemoryStorage: true}); err != nil {
		t.Errorf("one it has: %v", err)
	}
	if _, err := s.js.CreateConsumer(ctx, "STATUS", jetstream.ConsumerConfig{Durable: "another's"}); err != nil {
		t.Errorf("another reader's: %v", err)
	}
	if _, err := s.node.js.CreateConsumer(ctx, "STATUS", jetstream.ConsumerConfig{Name: LastConsumer}); err != nil {
		t.Errorf("one of ours: %v", err)
	}
	s.unharmed()
}

// A hundred durable consumers that nobody reads from, and one that somebody does.
func TestConsumersThatNobodyUsesGiveWayToNewOnes(t *testing.T) {
	t.Parallel()
	s := newFixture(t)
	ctx := testContext(t)
	slots := newConsumerSlots(s.node.js, s.node.cfg.Log)
	status, err := s.node.js.Stream(ctx, "STATUS")
	if err != nil {
		t.Fatal(err)
	}
	hog, honest, admin := netip.MustParsePrefix("10.0.0.66/32"), netip.MustParsePrefix("10.0.0.2/32"), netip.MustParsePrefix("10.0.0.1/32")
	add := func(name string, client netip.Prefix) {
		if _, err := status.CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: name, MemoryStorage: true, AckPolicy: jetstream.AckNonePolicy}); err != nil {
			t.Fatal(err)
		}
		slots.recordMaker("STATUS", client, []byte(`{"name":"`+name+`"}`))
	}
	add("used", honest)
	used, err := s.js.Consumer(ctx, "STATUS", "used")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := used.Next(); err != nil {
		t.Fatal(err)
	}
	for i := range consumersMax {
		add(fmt.Sprint("unused", i), netip.PrefixFrom(hog.Addr().Next(), 32))
	}
	if err := slots.freeSlot(ctx, "STATUS", "mine", admin); err == nil {
		t.Error("one that was just made gives way")
	}
	for _, later := range []time.Duration{firstUseWithin, time.Hour} {
		slots.now = func() time.Time { return time.Now().Add(later) }
		if err := slots.freeSlot(ctx, "STATUS", "mine", admin); err != nil {
			t.Errorf("after %v: %v", later, err)
		}
		add(fmt.Sprint("mine", later), admin)
	}
	if _, err := status.Consumer(ctx, "used"); err != nil {
		t.Errorf("the one that is in use: %v", err)
	}
	if n := status.CachedInfo().State.Consumers; n > consumersMax+1 {
		t.Errorf("%d consumers", n)
	}
}

func TestAReaderPublishesNothingButRequests(t *testing.T) {
	n := startNode(t, Config{Listen: "127.0.0.1:0"})
	mustPublish(t, n, append(messages(StatusStream, 1, 1), messages(TelemetryStream, 1, 1)...))
	refused := make(chan error, 1)
	nc, _ := testsupport.ConnectNATS(t, n.URL(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
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
		"$JS.API.CONSUMER.RESET.STATUS.other",
		"$JS.API.CONSUMER.CREATE.OTHER",
		"$JS.API.CONSUMER.MSG.NEXT.STATUS." + ForwardConsumer,
		"$JS.API.CONSUMER.MSG.NEXT.STATUS." + LastConsumer,
		"$JS.FC.STATUS.x",
		proxyPrefix + "CONSUMER.CREATE.STATUS",
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
	for _, subject := range []string{">", "$JS.>", "$SYS.>", "wazuh.>", "$PULSE.>", "_R_.>"} {
		t.Run("subscribe "+subject, func(t *testing.T) {
			if _, err := nc.SubscribeSync(subject); err != nil {
				t.Fatal(err)
			}
			awaitRefusal(t, refused)
		})
	}
	for _, stream := range []string{StatusStream, TelemetryStream} {
		if s, err := n.js.Stream(testContext(t), stream); err != nil || s.CachedInfo().State.Msgs != 1 {
			t.Errorf("%s: %+v, %v", stream, s, err)
		}
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
