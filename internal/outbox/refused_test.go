package outbox

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// mayPublish lets our user publish to some subjects, and ask JetStream.
func mayPublish(subjects ...string) func(*server.Options) {
	return func(o *server.Options) {
		withJetStream(o)
		o.Users = []*server.User{
			{Username: "pulse", Password: "secret", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: append(subjects, "$JS.API.>")},
			}},
			{Username: "xdr", Password: "xdr"},
		}
	}
}

func asXDR() nats.Option { return nats.UserInfo("xdr", "xdr") }

// changes makes status changes of an agent, numbered from to to.
func changesOf(agent, from, to int) (msgs []Message) {
	for i := from; i <= to; i++ {
		m := messages(Status, agent, agent)[0]
		m.ID = fmt.Sprintf("%03d-%d", agent, i)
		msgs = append(msgs, m)
	}
	return msgs
}

func waitDead(t *testing.T, o *Outbox, n uint64) {
	t.Helper()
	for ctx := testContext(t); ; {
		if s := o.Stats(); s.DeadLetters() == n && s.Status.Backlog == 0 {
			return
		} else if ctx.Err() != nil {
			t.Fatalf("%+v, want %d dead letters", s, n)
		}
	}
}

func TestWhatTheFarSideRefusesIsSetAsideAndGoesOutInOrderWhenItMay(t *testing.T) {
	far := newFarSide(t, mayPublish(prefix+".agent.001.*", prefix+".agent.003.*"))
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL(), asXDR())
	storeAllSubjects(t, js, -1)
	book, log := newTestLog()
	dir := t.TempDir()
	cfg := Config{Dir: dir, Remote: far.remote(logTo(log), withPassword(t)), Log: log}
	o := mustOpen(t, cfg)
	var all []Message
	for i := 1; i <= 3; i++ {
		for agent := 1; agent <= 3; agent++ {
			all = append(all, changesOf(agent, i, i)...)
		}
	}
	mustPublish(t, o, all)
	waitDead(t, o, 3)
	if diff := cmp.Diff([]string{"001-1", "003-1", "001-2", "003-2", "001-3", "003-3"}, testsupport.WaitForStored(t, js, "XDR", 6)); diff != "" {
		t.Error(diff)
	}
	if s := o.Stats().Status; s.Forwarded != 6 || s.Dead != 3 || s.Dropped != 0 {
		t.Errorf("%+v", s)
	}
	if why := o.Stats().Status.DeadReason; !strings.HasPrefix(why, "wazuh.xdr.agent.002.status_change: ") || !strings.Contains(why, `may not publish to "wazuh.xdr.agent.002.status_change"`) {
		t.Errorf("the reason is %q", why)
	}
	if n := strings.Count(book.String(), "it is set aside"); n != 1 || !strings.Contains(book.String(), `may not publish to \"wazuh.xdr.agent.002.status_change\"`) {
		t.Errorf("it is said %d times:\n%s", n, book)
	}
	mustClose(t, o)

	// A restart forgets nothing. The rights are there now, and more happens at once.
	far.stop()
	far.setup = mayPublish(prefix + ".>")
	o = mustOpen(t, cfg)
	waitDead(t, o, 3)
	if why := o.Stats().Status.DeadReason; !strings.Contains(why, "may not publish") {
		t.Errorf("after a restart, the reason is %q", why)
	}
	book.WaitForLine(t, "are set aside: they are tried again with every connection")
	mustPublish(t, o, changesOf(2, 4, 5))
	far.start()
	_, js = testsupport.ConnectNATS(t, far.srv.ClientURL(), asXDR())
	waitDead(t, o, 0)
	if diff := cmp.Diff(ids(changesOf(2, 1, 5)), testsupport.WaitForStored(t, js, "XDR", 5, prefix+".agent.002.>")); diff != "" {
		t.Error(diff)
	}
	book.WaitForLine(t, "messages that had been set aside went out")
	if why := o.Stats().Status.DeadReason; why != "" {
		t.Errorf("with none set aside, the reason is %q", why)
	}
	mustPublish(t, o, changesOf(2, 6, 6))
	testsupport.WaitForStored(t, js, "XDR", 12)
}

func TestAMessageThatIsTooLargeForTheFarSideDoesNotHoldUpTheOthers(t *testing.T) {
	for name, limit := range map[string]func(*server.Options, *jetstream.StreamConfig){
		"the server": func(o *server.Options, _ *jetstream.StreamConfig) { o.MaxPayload = 4096 },
		"the stream": func(_ *server.Options, c *jetstream.StreamConfig) { c.MaxMsgSize = 4096 },
	} {
		t.Run(name, func(t *testing.T) {
			for c := range Class(classes) {
				stream := jetstream.StreamConfig{Name: "XDR", Subjects: []string{prefix + ".>"}}
				far := newFarSide(t, func(o *server.Options) { withJetStream(o); limit(o, &stream) })
				_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
				if _, err := js.CreateStream(testContext(t), stream); err != nil {
					t.Fatal(err)
				}
				o := mustOpen(t, Config{Remote: far.remote()})
				msgs := messages(c, 1, 5)
				msgs[2].Data = make([]byte, 5000)
				mustPublish(t, o, msgs)
				want := append(ids(msgs[:2]), ids(msgs[3:])...)
				if diff := cmp.Diff(want, testsupport.WaitForStored(t, js, "XDR", 4)); diff != "" {
					t.Error(diff)
				}
				waitDead(t, o, 1)
				if c == Telemetry {
					continue // that one is not kept in order
				}
				later := changesOf(3, 1, 1) // it may not overtake
				mustPublish(t, o, later)
				waitDead(t, o, 2)
			}
		})
	}
}

func TestTelemetryThatIsSetAsideIsBoundedAndWhatHasNoRoomIsCounted(t *testing.T) {
	far := newFarSide(t, func(o *server.Options) { withJetStream(o); o.MaxPayload = 4096 })
	o := mustOpen(t, Config{TelemetryLimit: 100_000, Remote: far.remote()})
	msgs := messages(Telemetry, 1, 20)
	for i := range msgs {
		msgs[i].Data = make([]byte, 10_000)
	}
	mustPublish(t, o, msgs)
	for ctx := testContext(t); ; {
		s := o.Stats()
		if s.Telemetry.Backlog == 0 && s.Telemetry.Dead+s.Telemetry.Dropped == uint64(len(msgs)) && s.Telemetry.Dropped >= 10 {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("of %d: %+v", len(msgs), s.Telemetry)
		}
	}
}

func TestStatusGoesFirstWhenThereIsMuchToCatchUpWith(t *testing.T) {
	far := newFarSide(t, withJetStream)
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	storeAllSubjects(t, js, -1)
	far.stop()
	dir := t.TempDir()
	cfg := Config{Dir: dir, Remote: far.remote()}
	patient := quick
	patient.confirm = 10 * time.Second // a slow machine is not a far side that is slow
	cfg.Prefix, cfg.Log = prefix, slog.New(slog.DiscardHandler)
	o, err := openOutbox(testContext(t), cfg, patient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, o) })
	mustPublish(t, o, messages(Telemetry, 1, 5000))
	mustPublish(t, o, messages(Status, 1, 5000))
	far.start()
	_, js = testsupport.ConnectNATS(t, far.srv.ClientURL())
	testsupport.WaitForStored(t, js, "XDR", 10000)
	stream, err := js.Stream(testContext(t), "XDR")
	if err != nil {
		t.Fatal(err)
	}
	last, err := stream.GetLastMsgForSubject(testContext(t), messages(Status, 5000, 5000)[0].Subject)
	if err != nil {
		t.Fatal(err)
	}
	if last.Sequence > 5000+batchMax {
		t.Errorf("%d messages of telemetry went before the last status change", last.Sequence-5000)
	}
}
