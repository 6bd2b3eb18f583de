package outbox

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// await waits until the stats are as they should be.
func await(t *testing.T, o *Outbox, what string, is func(Stats) bool) Stats {
	t.Helper()
	for ctx := testContext(t); ; pause(ctx, time.Millisecond) {
		s := o.Stats()
		if is(s) {
			return s
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: %+v", what, s)
		}
	}
}

func hasWaiting(n uint64) func(Stats) bool {
	return func(s Stats) bool { return s.Status.Waiting == n && s.Status.Backlog == n && s.Telemetry.Backlog == 0 }
}

// makeStream makes a stream of some subjects under the prefix at the far side.
func makeStream(t testing.TB, js jetstream.JetStream, name string, change func(*jetstream.StreamConfig), subjects ...string) {
	t.Helper()
	cfg := jetstream.StreamConfig{Name: name}
	for _, s := range subjects {
		cfg.Subjects = append(cfg.Subjects, prefix+"."+s)
	}
	if change != nil {
		change(&cfg)
	}
	if _, err := js.CreateOrUpdateStream(testContext(t), cfg); err != nil {
		t.Fatal(err)
	}
}

func removeStream(t testing.TB, js jetstream.JetStream, name string) {
	t.Helper()
	if err := js.DeleteStream(testContext(t), name); err != nil {
		t.Fatal(err)
	}
}

// What a stream has stored once waits while nobody stores it, whatever the far side
// answers in the meantime: that nobody is there, nothing, or that it has no streams.
func TestWhatAStreamStoredOnceWaitsWhileNoneDoes(t *testing.T) {
	for name, listener := range map[string]bool{"nobody is there to answer": false, "somebody listens and does not answer": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			far := newFarSide(t, withJetStream)
			nc, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
			if listener {
				subscribeAll(t, nc)
			}
			storeAllSubjects(t, js, -1)
			book, log := newTestLog()
			dir := t.TempDir()
			cfg := Config{Dir: dir, Remote: far.remote(logTo(log)), Log: log}
			o := mustOpen(t, cfg)
			mustPublish(t, o, changesOf(1, 1, 1))
			testsupport.WaitForStored(t, js, "XDR", 1)
			await(t, o, "the first is confirmed", func(s Stats) bool { return s.Status.Forwarded == 1 })

			removeStream(t, js, "XDR")
			mustPublish(t, o, slices.Concat(changesOf(1, 2, 3), changesOf(2, 1, 2)))
			s := await(t, o, "without the stream", hasWaiting(4))
			if s.Status.Forwarded != 1 || s.Status.Unacknowledged != 0 || !strings.HasPrefix(s.WaitingReason(), prefix+".agent.001.status_change: ") {
				t.Errorf("%+v", s.Status)
			}
			book.WaitForLine(t, "the NATS server does not store a message that it stored the like of before")
			book.WaitForLine(t, "the NATS server is unavailable") // nothing at all is confirmed

			mustClose(t, o) // which forgets nothing
			o = mustOpen(t, cfg)
			mustPublish(t, o, changesOf(3, 1, 1))
			await(t, o, "after a restart", hasWaiting(5))

			storeAllSubjects(t, js, -1)
			got := testsupport.WaitForStored(t, js, "XDR", 5)
			for agent, want := range map[string][]string{"001": ids(changesOf(1, 2, 3)), "002": ids(changesOf(2, 1, 2)), "003": ids(changesOf(3, 1, 1))} {
				of := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return !strings.HasPrefix(id, agent) })
				if diff := cmp.Diff(want, of); diff != "" {
					t.Error(diff)
				}
			}
			book.WaitForLine(t, "the messages that waited for the NATS server to store them went out")
			await(t, o, "at the end", hasWaiting(0))
		})
	}
}

func TestWhatWasStoredWaitsWhileJetStreamIsOff(t *testing.T) {
	t.Parallel()
	far := newFarSide(t, withJetStream)
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	storeAllSubjects(t, js, -1)
	o := mustOpen(t, Config{Remote: far.remote()})
	mustPublish(t, o, changesOf(1, 1, 1))
	await(t, o, "the first is confirmed", func(s Stats) bool { return s.Status.Forwarded == 1 })

	far.stop()
	far.setup = nil
	far.start()
	mustPublish(t, o, slices.Concat(changesOf(1, 2, 2), changesOf(2, 1, 1)))
	await(t, o, "without JetStream", hasWaiting(2))

	far.stop()
	far.setup = withJetStream
	far.start()
	_, js = testsupport.ConnectNATS(t, far.srv.ClientURL())
	got := testsupport.WaitForStored(t, js, "XDR", 3)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"001-1", "001-2", "002-1"}, got); diff != "" {
		t.Error(diff)
	}
}

// A leaf node takes messages while its hub, which has the streams, is away.
func TestWhatWasStoredWaitsWhileTheHubOfALeafNodeIsAway(t *testing.T) {
	t.Parallel()
	hub := newFarSide(t, func(o *server.Options) {
		withJetStream(o)
		o.ServerName = "hub"
		o.LeafNode = server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT}
	})
	link := newProxy(t)
	info, err := hub.srv.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	link.setTarget(fmt.Sprintf("127.0.0.1:%d", info.LeafNode.Port))
	leaf := newFarSide(t, func(o *server.Options) {
		o.ServerName = "leaf"
		o.LeafNode.ReconnectInterval = 50 * time.Millisecond
		to, err := url.Parse("nats-leaf://" + link.addr())
		if err != nil {
			t.Fatal(err)
		}
		// The hub gives the leaf its own address, by which the leaf would reconnect past the link.
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{to}, IgnoreDiscoveredServers: true}}
	})
	_, js := testsupport.ConnectNATS(t, hub.srv.ClientURL())
	storeAllSubjects(t, js, -1)
	linked := func(n int) {
		t.Helper()
		for ctx := testContext(t); leaf.srv.NumLeafNodes() != n; pause(ctx, time.Millisecond) {
			if ctx.Err() != nil {
				t.Fatalf("never %d links", n)
			}
		}
	}
	linked(1)
	o := mustOpen(t, Config{Remote: leaf.remote()})
	mustPublish(t, o, changesOf(1, 1, 1))
	testsupport.WaitForStored(t, js, "XDR", 1)
	await(t, o, "the first is confirmed", func(s Stats) bool { return s.Status.Forwarded == 1 && s.Status.Unacknowledged == 0 })

	port := info.LeafNode.Port
	link.setTarget("127.0.0.1:1")
	link.dropConns()
	linked(0)
	mustPublish(t, o, slices.Concat(changesOf(1, 2, 2), changesOf(2, 1, 1)))
	await(t, o, "without the hub", hasWaiting(2))
	link.setTarget(fmt.Sprintf("127.0.0.1:%d", port))
	got := testsupport.WaitForStored(t, js, "XDR", 3)
	slices.Sort(got)
	if diff := cmp.Diff([]string{"001-1", "001-2", "002-1"}, got); diff != "" {
		t.Error(diff)
	}
}

// A server that never had a stream for a subject confirms by the round trip alone,
// and that is said.
func TestWhereNothingWasEverStoredTheRoundTripConfirmsAndThatIsSaid(t *testing.T) {
	for name, setup := range map[string]func(*server.Options){"no JetStream": nil, "a stream for other subjects": withJetStream} {
		for _, listener := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, listener %v", name, listener), func(t *testing.T) {
				t.Parallel()
				far := newFarSide(t, setup)
				nc, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
				if setup != nil {
					makeStream(t, js, "TELEMETRY", nil, "manager.>")
				}
				if listener {
					subscribeAll(t, nc)
				}
				book, log := newTestLog()
				o := mustOpen(t, Config{Remote: far.remote(), Log: log})
				mustPublish(t, o, append(messages(Status, 1, 20), messages(Telemetry, 1, 20)...))
				s := await(t, o, "all are confirmed", func(s Stats) bool { return s.Status.Forwarded == 20 && s.Telemetry.Forwarded == 20 })
				if s.Status.Unacknowledged != 20 || s.Waiting() > 0 || (setup != nil) != (s.Telemetry.Unacknowledged == 0) {
					t.Errorf("%+v", s)
				}
				book.WaitForLine(t, "nothing confirms status changes")
				if n := strings.Count(book.String(), "nothing confirms status changes"); n != 1 {
					t.Errorf("said %d times", n)
				}
			})
		}
	}
}

// A stream that is made later is learned from its first acknowledgement.
func TestAStreamThatIsMadeLaterIsLearned(t *testing.T) {
	t.Parallel()
	far := newFarSide(t, withJetStream)
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir, Remote: far.remote()})
	mustPublish(t, o, changesOf(1, 1, 1))
	await(t, o, "without a stream", func(s Stats) bool { return s.Status.Unacknowledged == 1 })
	makeStream(t, js, "SOME", nil, "agent.001.>")
	mustPublish(t, o, changesOf(1, 2, 2))
	await(t, o, "with one", func(s Stats) bool { return s.Status.Forwarded == 2 })
	for ctx := testContext(t); !slices.Contains(StoredSubjects(dir), prefix+".agent.001.>"); pause(ctx, time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatalf("%q", StoredSubjects(dir))
		}
	}
	mustPublish(t, o, changesOf(2, 1, 1)) // which nobody ever stored
	await(t, o, "of another agent", func(s Stats) bool { return s.Status.Unacknowledged == 2 })
	removeStream(t, js, "SOME")
	mustPublish(t, o, changesOf(1, 3, 3))
	await(t, o, "without it again", hasWaiting(1))
}

// One stream is full. What goes to the other goes on, and nothing is stored twice though
// the node starts anew and the far side has long forgotten the IDs.
func TestAFullStreamHoldsOnlyWhatItTakes(t *testing.T) {
	t.Parallel()
	far := newFarSide(t, withJetStream)
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	forgetful := func(c *jetstream.StreamConfig) { c.Duplicates = 100 * time.Millisecond }
	full := func(most int64) func(*jetstream.StreamConfig) {
		return func(c *jetstream.StreamConfig) {
			forgetful(c)
			c.MaxMsgs, c.Discard = most, jetstream.DiscardNew
		}
	}
	makeStream(t, js, "XDR", forgetful, "agent.>", "manager.>")
	makeStream(t, js, "ALERTS", full(1), "alerts.>")
	dir := t.TempDir()
	cfg := Config{Dir: dir, Remote: far.remote()}
	o := mustOpen(t, cfg)
	alert := func(n int) Message {
		return Message{Class: Status, Subject: prefix + ".alerts.agent_disconnected", ID: fmt.Sprintf("alert-%d", n)}
	}
	for i := 1; i <= 30; i++ {
		mustPublish(t, o, slices.Concat(changesOf(1+i%3, i, i), []Message{alert(i)}, messages(Telemetry, i, i)))
	}
	testsupport.WaitForStored(t, js, "XDR", 60)
	s := await(t, o, "with a full stream", hasWaiting(29))
	if !s.Connected || !strings.Contains(s.WaitingReason(), "maximum messages exceeded") {
		t.Errorf("%+v", s)
	}
	mustClose(t, o)
	o = mustOpen(t, cfg)
	mustPublish(t, o, changesOf(4, 31, 31))
	testsupport.WaitForStored(t, js, "XDR", 61)
	await(t, o, "after a restart", hasWaiting(29))
	makeStream(t, js, "ALERTS", full(-1), "alerts.>")
	var want []string
	for i := 1; i <= 30; i++ {
		want = append(want, alert(i).ID)
	}
	got := testsupport.WaitForStored(t, js, "ALERTS", 30)
	slices.SortFunc(got, func(a, b string) int { return strings.Compare(fmt.Sprintf("%8s", a), fmt.Sprintf("%8s", b)) })
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	await(t, o, "at the end", hasWaiting(0))
	if got := testsupport.WaitForStored(t, js, "XDR", 61); len(got) != 61 {
		t.Errorf("%d messages are stored of 61", len(got))
	}
}

// Who reads what is refused knows the ID of a message that is not stored yet.
func TestTheIDOfAMessageThatWaitsIsOfNoUseToOthers(t *testing.T) {
	t.Parallel()
	far := newFarSide(t, withJetStream)
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	perSubject := func(most int64) func(*jetstream.StreamConfig) {
		return func(c *jetstream.StreamConfig) {
			c.MaxMsgsPerSubject, c.Discard, c.DiscardNewPerSubject = most, jetstream.DiscardNew, true
			if most < 0 {
				c.DiscardNewPerSubject = false
			}
		}
	}
	makeStream(t, js, "XDR", perSubject(1), ">")
	o := mustOpen(t, Config{Remote: far.remote()})
	mustPublish(t, o, changesOf(1, 1, 2))
	await(t, o, "with a full subject", hasWaiting(1))
	seen := &nats.Msg{Subject: prefix + ".alerts.x", Header: nats.Header{jetstream.MsgIDHeader: {"001-2"}}}
	if _, err := js.PublishMsg(testContext(t), seen); err != nil {
		t.Fatal(err)
	}
	makeStream(t, js, "XDR", perSubject(-1), ">")
	got := testsupport.WaitForStored(t, js, "XDR", 3)
	if !slices.Equal(got[:2], []string{"001-1", "001-2"}) || !strings.HasPrefix(got[2], "001-2-") {
		t.Errorf("stored are %q", got)
	}
	if s := await(t, o, "all are confirmed", hasWaiting(0)); s.Status.Duplicates != 1 {
		t.Errorf("%+v", s.Status)
	}
}

// Of one agent there is a backlog, and ever more, of which one message goes with each
// round trip. What another agent does is at the far side a few round trips after it
// was published.
func TestTheBacklogOfOneAgentDelaysNoOther(t *testing.T) {
	t.Parallel()
	far := newFarSide(t, withJetStream)
	nc, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	storeAllSubjects(t, js, -1)
	sub := subscribeAll(t, nc)
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir})
	flood := changesOf(1, 1, 20_000)
	mustPublish(t, o, flood)
	mustClose(t, o)

	far.proxy.setFault(networkFault{delay: 25 * time.Millisecond})
	patient := quick
	patient.confirm, patient.stuck = 5*time.Second, time.Minute
	o, err := openOutbox(testContext(t), Config{Prefix: prefix, Dir: dir, Remote: far.remote(), Log: o.log}, patient)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, o) })
	if _, err := sub.NextMsgWithContext(testContext(t)); err != nil { // it is under way
		t.Fatal(err)
	}
	next := 20_001
	for agent := 2; agent < 6; agent++ {
		mustPublish(t, o, slices.Concat(changesOf(1, next, next+10), changesOf(agent, 1, 1), messages(Telemetry, agent, agent)))
		next += 11
	}
	before, _, err := sub.Pending() // while it was published, which takes a while on a busy machine
	if err != nil {
		t.Fatal(err)
	}
	for others, n := 0, 0; others < 8; n++ {
		m, err := sub.NextMsgWithContext(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(m.Subject, ".001.") {
			others++
		} else if n > before+40 {
			t.Fatalf("%d messages later, %d of the others are not there yet", n-before, 8-others)
		}
	}
}

// Messages that were refused go out many at a time, and behind what happens now.
func TestWhatWasSetAsideGoesOutAtTheForwardersPaceBehindWhatHappensNow(t *testing.T) {
	t.Parallel()
	far := newFarSide(t, mayPublish(prefix+".manager.>"))
	nc, js := testsupport.ConnectNATS(t, far.srv.ClientURL(), asXDR())
	storeAllSubjects(t, js, -1)
	cfg := Config{Dir: t.TempDir(), Remote: far.remote(withPassword(t))}
	o := mustOpen(t, cfg)
	var all []Message
	for i := 1; i <= 5; i++ {
		for agent := 1; agent <= 400; agent++ {
			all = append(all, changesOf(agent, i, i)...)
		}
	}
	mustPublish(t, o, all)
	waitDead(t, o, 2000)
	far.stop()
	mustPublish(t, o, changesOf(999, 1, 1))
	far.setup = mayPublish(prefix + ".>")
	nc.Close()
	far.start()
	far.proxy.setFault(networkFault{delay: 10 * time.Millisecond})
	_, js = testsupport.ConnectNATS(t, far.srv.ClientURL(), asXDR())
	began := time.Now()
	got := testsupport.WaitForStored(t, js, "XDR", 2001)
	if took := time.Since(began); took > 10*time.Second { // one at a time would take 40 s
		t.Errorf("it took %v", took)
	}
	if i := slices.Index(got, "999-1"); i > lateMax {
		t.Errorf("what happened now came after %d others", i)
	}
	for agent := 1; agent <= 400; agent++ {
		name := fmt.Sprintf("%03d-", agent)
		of := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return !strings.HasPrefix(id, name) })
		if diff := cmp.Diff(ids(changesOf(agent, 1, 5)), of); diff != "" {
			t.Fatal(diff)
		}
	}
}

// The far side has had our message's ID from somebody else: it goes out under another.
func TestAMessageWhoseIDSomebodyHasUsedGoesOutUnderAnother(t *testing.T) {
	t.Parallel()
	far := newFarSide(t, withJetStream)
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	storeAllSubjects(t, js, -1)
	stolen := &nats.Msg{Subject: prefix + ".alerts.x", Header: nats.Header{jetstream.MsgIDHeader: {"001-2"}}}
	if _, err := js.PublishMsg(testContext(t), stolen); err != nil {
		t.Fatal(err)
	}
	book, log := newTestLog()
	dir := t.TempDir()
	cfg := Config{Dir: dir, Remote: far.remote(), Log: log}
	o := mustOpen(t, cfg)
	mustPublish(t, o, changesOf(1, 1, 3))
	got := testsupport.WaitForStored(t, js, "XDR", 4)
	if !slices.Equal(got[:2], []string{"001-2", "001-1"}) || !strings.HasPrefix(got[2], "001-2-") || len(got[2]) != 6+16 || got[3] != "001-3" {
		t.Errorf("stored are %q", got)
	}
	s := await(t, o, "all are confirmed", func(s Stats) bool { return s.Status.Forwarded == 3 })
	if s.Status.Duplicates != 1 {
		t.Errorf("%+v", s.Status)
	}
	book.WaitForLine(t, "had a message under the ID of a new one of ours")
	mustClose(t, o)

	// What is sent again after a crash is a duplicate, and no theft.
	if err := errors.Join(cursorFor(dir, "STATUS.cursor").saveSequence(0), os.Remove(filepath.Join(dir, "STATUS.waiting"))); err != nil {
		t.Fatal(err)
	}
	o = mustOpen(t, cfg)
	s = await(t, o, "all are confirmed again", func(s Stats) bool { return s.Status.Forwarded == 3 })
	if s.Status.Duplicates != 0 {
		t.Errorf("after a crash: %+v", s.Status)
	}
}
