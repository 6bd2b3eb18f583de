package daemon

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if runAsServer() {
		return
	}
	testsupport.RunInParallel(6) // they mostly wait
	// nats-server does not end a stream that a client makes in the very moment in
	// which the server ends: as a node does that is stopped when it has just come.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushStreamStateLoop"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server/ats.Register.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*stream).trySetupSourceConsumer.func3"))
}

func sends(n int) message.Record {
	return message.Record{Decision: detector.Decision{Verdict: detector.Send, Token: uint32(n)}}
}
func changes(n int) message.Record {
	return message.Record{Decision: detector.Decision{Verdict: detector.Changed, Missed: n}}
}

// takeAll takes until nothing waits.
func takeAll(t *testing.T, b *backlog) (records []message.Record, dropped int64) {
	t.Helper()
	for {
		group, lost := b.takeGroup()
		if len(group) > groupSize {
			t.Fatalf("a group of %d", len(group))
		}
		if len(group) == 0 {
			return records, dropped + lost
		}
		records, dropped = append(records, group...), dropped+lost
	}
}

func TestKeepAliveEventsAreDroppedBeforeTheBacklogIsFullAndChangesNever(t *testing.T) {
	b := newBacklog()
	for i := range telemetryLimit {
		b.put(sends(i))
	}
	b.put(sends(-1))
	b.put(changes(7))
	b.put(sends(-1))
	records, dropped := takeAll(t, b)
	if len(records) != telemetryLimit+1 || dropped != 2 || records[0].Missed != 7 {
		t.Fatalf("%d records, %d dropped", len(records), dropped)
	}
	for i, r := range records[1:] {
		if r.Token != uint32(i) {
			t.Fatalf("record %d is %d", i, r.Token)
		}
	}
	b.put(sends(1))
	if records, dropped := takeAll(t, b); len(records) != 1 || dropped != 0 {
		t.Errorf("afterwards: %d records, %d dropped", len(records), dropped)
	}
}

func TestWhatIsPutWhileGroupsAreTakenComesBehindThem(t *testing.T) {
	b := newBacklog()
	for i := range groupSize + 1 {
		b.put(changes(i))
	}
	first, _ := b.takeGroup()
	b.put(changes(groupSize + 1))
	rest, _ := takeAll(t, b)
	if len(first) != groupSize || len(rest) != 2 || rest[0].Missed != groupSize || rest[1].Missed != groupSize+1 || first[groupSize-1].Missed != groupSize-1 {
		t.Errorf("%d and %+v", len(first), rest)
	}
}

func TestTheMemoryOfAPublishedGroupIsUsedAgain(t *testing.T) {
	b := newBacklog()
	publish := func(n int) {
		for i := range n {
			b.put(changes(i))
			b.put(sends(i))
		}
		for taken := 0; taken < 2*n; {
			group, _ := b.takeGroup()
			for i, r := range group {
				if r.Verdict == detector.Changed && r.Missed != taken+i || r.Verdict == detector.Send && r.Token != uint32(taken+i-n) {
					t.Fatalf("record %d of %d is %+v", taken+i, 2*n, r)
				}
			}
			taken += len(group)
			b.reuse(group)
		}
	}
	for _, n := range []int{1, groupSize - 1, groupSize + 1, 7, 3*groupSize + 5} {
		publish(n)
	}
	if n := testing.AllocsPerRun(10, func() { publish(100) }); n > 20 {
		t.Errorf("%v allocations for 200 records", n)
	}
}

func TestAFullBacklogMakesTheDetectorWait(t *testing.T) {
	for _, c := range []struct {
		name    string
		release func(b *backlog)
	}{
		{"until the recorder takes", func(b *backlog) { b.takeGroup() }},
		{"until the node ends", func(b *backlog) { b.close() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBacklog()
				b.status = recordQueue{[][]message.Record{make([]message.Record, groupSize)}, statusLimit}
				done := false
				go func() { b.put(changes(1)); done = true }()
				synctest.Wait()
				if done {
					t.Fatal("it did not wait")
				}
				c.release(b)
				synctest.Wait()
				if !done {
					t.Error("it waits on")
				}
			})
		})
	}
}

func TestAClosedBacklogIsTakenToItsEnd(t *testing.T) {
	b := newBacklog()
	for i := range groupSize + 1 {
		b.put(changes(i))
	}
	b.close()
	for _, want := range []struct {
		n    int
		done bool
	}{{groupSize, false}, {1, true}} {
		<-b.ready
		if records, _ := b.takeGroup(); len(records) != want.n || b.isDone() != want.done {
			t.Errorf("%d records, done %v, want %+v", len(records), b.isDone(), want)
		}
	}
}

func TestOnlyWhatIsNoRoutineIsPublishedAtOnce(t *testing.T) {
	b := newBacklog()
	rings := func() bool { return len(b.ready) > 0 }
	for i := range groupSize - 1 {
		b.put(sends(i))
	}
	if rings() {
		t.Error("keep-alives are published one by one")
	}
	b.put(sends(groupSize))
	if !rings() {
		t.Error("a whole group waits on")
	}
	b = newBacklog()
	b.put(changes(1))
	if !rings() {
		t.Error("a status change waits")
	}
}

// logbook is a slog.Handler that keeps what is logged.
type logbook struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed with the next line; nil if nobody waits
}

func (b *logbook) Enabled(context.Context, slog.Level) bool { return true }
func (b *logbook) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b *logbook) WithGroup(string) slog.Handler            { return b }

func (b *logbook) Handle(_ context.Context, r slog.Record) error {
	text := r.Level.String() + " " + r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.String(); return true })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, text)
	if b.more != nil {
		close(b.more)
		b.more = nil
	}
	return nil
}

// await waits for so many lines about something.
func (b *logbook) await(t *testing.T, what string, lines int) {
	t.Helper()
	for deadline := time.After(testTimeout); ; {
		b.mu.Lock()
		if b.more == nil {
			b.more = make(chan struct{})
		}
		more := b.more
		b.mu.Unlock()
		if len(b.about(what)) >= lines {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("log: %q, want %d about %q", b.about(""), lines, what)
		}
	}
}

func (b *logbook) about(what string) (found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.lines {
		if strings.Contains(line, what) {
			found = append(found, line)
		}
	}
	return found
}

func TestAStormOfChangesIsLoggedInPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(logbook)
		j := &statusLogger{log: slog.New(log)}
		lost := &detector.Decision{Verdict: detector.Changed, ID: 7, Name: "web", To: detector.Disconnected, Reason: detector.ConnectionLost}
		for range 1000 {
			j.logChange(lost)
		}
		if n := len(log.about("agent disconnected")); n != statusLogBurst {
			t.Errorf("%d changes logged", n)
		}
		time.Sleep(time.Second)
		j.logChange(lost)
		if lines := log.about("not_logged=980"); len(lines) != 1 {
			t.Errorf("logged: %q", lines)
		}
		for range 100 {
			j.logChange(lost)
		}
		j.logSkipped()
		j.logSkipped()
		if lines := log.about("not_logged="); len(lines) != 2 {
			t.Errorf("logged: %q", lines)
		}
	})
}

func TestOnlyBadNewsIsAWarning(t *testing.T) {
	for _, c := range []struct {
		to     detector.Status
		reason detector.Reason
		level  string
	}{
		{detector.Disconnected, detector.ConnectionLost, "WARN"}, {detector.Disconnected, detector.AgentShutdown, "INFO"},
		{detector.Active, detector.Reconnected, "INFO"}, {detector.Pending, detector.Startup, "INFO"},
	} {
		log := new(logbook)
		(&statusLogger{log: slog.New(log)}).logChange(&detector.Decision{To: c.to, Reason: c.reason})
		if lines := log.about(""); len(lines) != 1 || !strings.HasPrefix(lines[0], c.level+" agent "+c.to.String()) {
			t.Errorf("%v: %q", c.reason, lines)
		}
	}
}

// An agent joins the group of its Wazuh groups when these are known, and leaves it with
// them.
func TestAnAgentsGroupFollowsItsWazuhGroups(t *testing.T) {
	cfg := testSettings(t)
	cfg.Groups = []config.Group{{Name: "named", Names: []string{"db"}, Interval: time.Second, Timeout: time.Minute, MaxMissed: 1},
		{Name: "web", WazuhGroups: []string{"web-*"}, Interval: time.Second, Timeout: time.Minute, MaxMissed: 1}}
	set, err := Detection(cfg)
	if err != nil {
		t.Fatal(err)
	}
	table := detector.NewTable(set)
	table.SetMembers([]detector.Member{{ID: 1, Name: "www", IP: "any"}, {ID: 2, Name: "db", IP: "any"}}, 0)
	for i, step := range []struct {
		groups string
		want   int
	}{{"", 0}, {"default", 0}, {"default,web-eu", 2}, {"web-us", 2}, {"default", 0}} {
		for id := range detector.AgentID(2) {
			table.SetInfo(id+1, detector.Info{Groups: step.groups}, detector.Instant(i))
		}
		if r, _ := table.Agent(1); r.Group != step.want {
			t.Errorf("in %q it is in group %d, want %d", step.groups, r.Group, step.want)
		}
		if r, _ := table.Agent(2); r.Group != 1 { // the first that matches
			t.Errorf("the other is in group %d", r.Group)
		}
	}
}
