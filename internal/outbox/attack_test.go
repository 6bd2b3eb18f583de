package outbox

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
)

// scene is an outbox with published messages, one who hears all that becomes
// live in our account, and an anonymous reader.
type scene struct {
	*testing.T
	o      *Outbox
	sent   []Message
	inside *nats.Subscription
	reader *nats.Conn
	js     jetstream.JetStream
	seen   *nats.Subscription // by readers
}

func newScene(t *testing.T) *scene {
	o := mustOpen(t, Config{Listen: "127.0.0.1:0"})
	s := &scene{T: t, o: o, sent: append(messages(Status, 1, 5), messages(Telemetry, 1, 5)...)}
	s.inside = listen(t, o.nc)
	mustPublish(t, o, s.sent)
	s.reader, s.js = connect(t, o.URL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	s.seen = listen(t, s.reader)
	return s
}

// unharmed publishes one more message of each class, and wants those and the
// ones before in the streams and heard live: nothing else, nothing less.
func (s *scene) unharmed() {
	s.Helper()
	s.sent = append(s.sent, append(messages(Status, 6, 6), messages(Telemetry, 6, 6)...)...)
	mustPublish(s, s.o, s.sent[len(s.sent)-2:])
	for c := range Class(classes) {
		if diff := cmp.Diff(ids(messages(c, 1, 6)), storedIn(s, s.o.js, c.String(), 6)); diff != "" {
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
	s := newScene(t)
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
func (s *scene) answered(subject string) {
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
	s := newScene(t)
	for _, reply := range []string{
		"$JS.API.STREAM.PURGE.STATUS", "$JS.API.STREAM.DELETE.STATUS", "$JS.API.STREAM.MSG.DELETE.STATUS",
		"$JS.API.CONSUMER.CREATE.STATUS", "$JS.API.STREAM.INFO.STATUS", gatePrefix + "CONSUMER.CREATE.STATUS",
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
func (s *scene) allDone() {
	s.Helper()
	if _, err := s.js.CreateConsumer(testContext(s), "STATUS", jetstream.ConsumerConfig{}); err != nil {
		s.Fatal(err)
	}
}

func TestAMessageTraceUnderThePrefixReachesNoStream(t *testing.T) {
	s := newScene(t)
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
	s := newScene(t)
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

func TestTheGateRefuses(t *testing.T) {
	s := newScene(t)
	ctx := testContext(t)
	for want, cfg := range map[string]jetstream.ConsumerConfig{
		"taken by Pulse itself": {Name: forwardConsumer},
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
func (s *scene) from(addr string) jetstream.JetStream {
	s.Helper()
	_, js := connect(s, s.o.URL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}),
		nats.Dialer(&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(addr)}}))
	return js
}

func TestOneReaderCannotTakeAllConsumers(t *testing.T) {
	t.Parallel()
	s := newScene(t)
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
	if err := s.o.Last(ctx, prefix+".>", func(string, []byte) error { return nil }); err != nil {
		t.Errorf("one of ours: %v", err)
	}
	s.unharmed()
}

// A hundred durable consumers that nobody reads from, and one that somebody does.
func TestConsumersThatNobodyUsesGiveWayToNewOnes(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	ctx := testContext(t)
	places := newPlaces(s.o.js, s.o.log)
	hog, honest, admin := netip.MustParsePrefix("10.0.0.66/32"), netip.MustParsePrefix("10.0.0.2/32"), netip.MustParsePrefix("10.0.0.1/32")
	add := func(name string, client netip.Prefix) {
		if _, err := s.o.streams[Status].CreateConsumer(ctx, jetstream.ConsumerConfig{Durable: name, MemoryStorage: true, AckPolicy: jetstream.AckNonePolicy}); err != nil {
			t.Fatal(err)
		}
		places.recordMaker("STATUS", client, []byte(`{"name":"`+name+`"}`))
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
	if err := places.makeRoom(ctx, "STATUS", "mine", admin); err == nil {
		t.Error("one that was just made gives way")
	}
	for _, later := range []time.Duration{firstUseWithin, time.Hour} {
		places.now = func() time.Time { return time.Now().Add(later) }
		if err := places.makeRoom(ctx, "STATUS", "mine", admin); err != nil {
			t.Errorf("after %v: %v", later, err)
		}
		add(fmt.Sprint("mine", later), admin)
	}
	if _, err := s.o.streams[Status].Consumer(ctx, "used"); err != nil {
		t.Errorf("the one that is in use: %v", err)
	}
	if n := s.o.streams[Status].CachedInfo().State.Consumers; n > consumersMax+1 {
		t.Errorf("%d consumers", n)
	}
}

func TestAReaderPublishesNothingButRequests(t *testing.T) {
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
		"$JS.API.CONSUMER.RESET.STATUS.other",
		"$JS.API.CONSUMER.CREATE.OTHER",
		"$JS.API.CONSUMER.MSG.NEXT.STATUS." + forwardConsumer,
		"$JS.API.CONSUMER.MSG.NEXT.STATUS." + lastConsumer,
		"$JS.FC.STATUS.x",
		gatePrefix + "CONSUMER.CREATE.STATUS",
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
