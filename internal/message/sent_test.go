package message

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

var escalateAfter = []time.Duration{time.Minute, time.Hour, 24 * time.Hour}

// alertRun is a node that publishes what a play has it decide, and starts again.
type alertRun struct {
	t      testing.TB
	outbox *outbox.Outbox
	prefix event.Prefix
	file   string
	log    *slog.Logger
	writer *Writer
	epoch  uint64
	now    time.Time
	agents map[detector.AgentID]*expectedAgent
}

// expectedAgent is what a starting node has to know of an agent.
type expectedAgent struct {
	lost, alerted, held bool
	step                int
	flapped             time.Time // its last change, if it flaps
}

// keepFlapping sets whether the agent still flaps after a change.
func (a *expectedAgent) keepFlapping(before, now time.Time) {
	if !before.IsZero() && now.Sub(before) <= testGroup.FlapWindow {
		a.flapped = now
	}
}

func openAlertRun(t testing.TB) *alertRun {
	t.Helper()
	o, err := outbox.Open(t.Context(), outbox.Config{Prefix: event.DefaultPrefix, Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = o.Close() })
	r := &alertRun{t: t, outbox: o, prefix: event.DefaultPrefix, file: filepath.Join(t.TempDir(), "alerts.json"), log: slog.New(slog.DiscardHandler), now: time.Now(), agents: make(map[detector.AgentID]*expectedAgent)}
	r.start()
	return r
}

func (r *alertRun) newReader() *Reader {
	return &Reader{Outbox: r.outbox, Prefix: r.prefix, Open: func(b []byte) ([]byte, error) { return b, nil }, Log: r.log, SentFile: r.file,
		EscalateAfter: escalateAfter, GroupOf: func(*detector.Restored) *Group { return testGroup }}
}

// start begins another run of the node, after whatever ended the one before.
func (r *alertRun) start() []detector.Restored {
	r.t.Helper()
	agents, sent, err := r.newReader().readAgents(r.t.Context(), newWallSeconds(detector.NewClock()))
	if err != nil {
		r.t.Fatal(err)
	}
	r.epoch++
	r.writer = NewWriter(Source{Node: "node01", Version: "1", Epoch: r.epoch}, r.prefix)
	r.writer.Sent = sent
	r.save()
	return agents
}

func (r *alertRun) save() {
	r.t.Helper()
	at, err := r.outbox.StatusPosition(r.t.Context())
	if err == nil && r.writer.Sent.IsUnsaved() {
		err = r.writer.Sent.Save(r.file, at, r.writer.Source)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

// publish publishes decisions, of which only so many messages reach the disk.
func (r *alertRun) publish(most int, decisions ...detector.Decision) {
	r.t.Helper()
	var messages []outbox.Message
	for i := range decisions {
		d := &decisions[i]
		d.Time = r.now
		messages = r.writer.AppendRecord(messages, &Record{Decision: *d, Group: testGroup})
	}
	if err := r.outbox.Publish(r.t.Context(), messages[:min(most, len(messages))]); err != nil {
		r.t.Fatal(err)
	}
}

const all = 1 << 20

// act lets something random happen to an agent, as a detector would decide it.
func (r *alertRun) act(random *rand.Rand, id detector.AgentID) {
	a := r.agents[id]
	if a == nil {
		a = new(expectedAgent)
		r.agents[id] = a
	}
	away := detector.Decision{Verdict: detector.Changed, ID: id, Name: "web", IP: "10.0.0.1", From: detector.Active, To: detector.Disconnected,
		Reason: detector.MissedKeepAlives, Missed: 3}
	before := a.flapped
	switch n := random.IntN(8); {
	case !a.lost && n < 2: // an alert at once
		r.publish(all, away)
		*a = expectedAgent{lost: true, alerted: true}
		a.keepFlapping(before, r.now)
	case !a.lost && n < 4: // an alert that is held
		away.AlertHeld = true
		r.publish(all, away)
		*a = expectedAgent{lost: true, held: true}
		a.keepFlapping(before, r.now)
	case !a.lost && n < 6: // no alert
		away.Reason, away.Missed = detector.ConnectionLost, 0
		r.publish(all, away)
		*a = expectedAgent{lost: true}
		a.keepFlapping(before, r.now)
	case !a.lost: // its alert is held because it flaps
		away.AlertHeld = true
		r.publish(all, away, detector.Decision{Verdict: detector.Flapping, ID: id, Name: "web", IP: "10.0.0.1", Changes: 7})
		*a = expectedAgent{lost: true, held: true, flapped: r.now}
	case n < 2:
		away.Verdict, away.From, away.To, away.Reason = detector.Changed, detector.Disconnected, detector.Active, detector.Reconnected
		r.publish(all, away)
		*a = expectedAgent{}
		a.keepFlapping(before, r.now)
		if random.IntN(2) == 0 {
			r.now = r.now.Add(testGroup.FlapWindow + time.Second) // who changes after that was stable
		}
	case n < 4 && a.held:
		away.Verdict = detector.AlertReleased
		r.publish(all, away)
		a.alerted, a.held = true, false
	case a.step < len(escalateAfter):
		a.step++
		away.Verdict, away.Step, away.AwayFor = detector.Escalated, a.step, escalateAfter[a.step-1]
		r.publish(all, away)
		a.alerted, a.held = true, false
	}
}

func (r *alertRun) check(found []detector.Restored, when string) {
	r.t.Helper()
	for i := range found {
		a := r.agents[found[i].ID]
		if a == nil {
			r.t.Errorf("%s: agent %v is unknown", when, found[i].ID)
			continue
		}
		if got := &found[i]; got.Step != a.step || got.AlertHeld != a.held || got.Alerted != a.alerted || got.Flapping == a.flapped.IsZero() {
			r.t.Errorf("%s: agent %v has step %d, held %v, alerted %v, flapping %v; want %+v", when, got.ID, got.Step, got.AlertHeld, got.Alerted, got.Flapping, *a)
		}
	}
}

// However a node ends, the next one knows which alerts were published: with the file as it
// was at any moment, without it, and with a damaged one.
func TestAnAlertIsNeitherRepeatedNorForgottenOverAnyRestart(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 0))
		r := openAlertRun(t)
		for step := range 80 {
			r.act(random, detector.AgentID(1+random.IntN(6)))
			switch random.IntN(10) {
			case 0, 1:
				r.save()
			case 2:
				r.check(r.start(), fmt.Sprintf("seed %d, step %d", seed, step))
			case 3:
				if random.IntN(2) == 0 {
					_ = os.Remove(r.file)
				} else if err := os.WriteFile(r.file, []byte("\x00\x00"), 0o600); err != nil {
					t.Fatal(err)
				}
				r.check(r.start(), fmt.Sprintf("seed %d, step %d, without the file", seed, step))
			}
		}
	}
}

// A node that is killed between a loss and its alert, or before an escalation is on the disk,
// publishes them after its next start, and only those.
func TestWhatAKillKeptFromTheDiskComesAfterIt(t *testing.T) {
	t.Parallel()
	r := openAlertRun(t)
	for i, c := range []struct {
		name   string
		stored int // messages of the last decision that reached the disk
		last   detector.Decision
		want   expectedAgent
	}{
		{"a loss without its alert", 1, detector.Decision{Verdict: detector.Changed}, expectedAgent{lost: true, held: true}},
		{"a loss with its alert", 2, detector.Decision{Verdict: detector.Changed}, expectedAgent{lost: true, alerted: true}},
		{"no escalation", 0, detector.Decision{Verdict: detector.Escalated, Step: 2, AwayFor: time.Hour}, expectedAgent{lost: true, alerted: true, step: 1}},
		{"an escalation", 1, detector.Decision{Verdict: detector.Escalated, Step: 2, AwayFor: time.Hour}, expectedAgent{lost: true, alerted: true, step: 2}},
		{"no alert that was held", 0, detector.Decision{Verdict: detector.AlertReleased}, expectedAgent{lost: true, held: true}},
		{"an alert that was held", 1, detector.Decision{Verdict: detector.AlertReleased}, expectedAgent{lost: true, alerted: true}},
	} {
		id := detector.AgentID(i + 1)
		away := detector.Decision{Verdict: detector.Changed, ID: id, Name: "web", IP: "any", From: detector.Active, To: detector.Disconnected,
			Reason: detector.MissedKeepAlives, Missed: 3}
		before := []detector.Decision{away}
		switch c.last.Verdict {
		case detector.Changed:
			before = nil
		case detector.AlertReleased:
			before[0].AlertHeld = true
		case detector.Escalated:
			first := away
			first.Verdict, first.Step, first.AwayFor = detector.Escalated, 1, time.Minute
			before = append(before, first)
		}
		r.publish(all, before...)
		last := away
		last.Verdict, last.Step, last.AwayFor = c.last.Verdict, c.last.Step, c.last.AwayFor
		r.publish(c.stored, last)
		r.agents[id] = &c.want
		found := r.start()
		if r.check(found, c.name); len(found) != len(r.agents) {
			t.Errorf("%s: %d agents", c.name, len(found))
		}
	}
}

// Without the file, what was lost long ago has had its alerts: an upgrade raises none of
// agents that have been away for weeks.
func TestAnUpgradeRaisesNoAlertOfAgentsThatAreLongGone(t *testing.T) {
	t.Parallel()
	r := openAlertRun(t)
	lost := detector.Decision{Verdict: detector.Changed, Name: "web", IP: "any", From: detector.Active, To: detector.Disconnected,
		Reason: detector.MissedKeepAlives, Missed: 3, AlertHeld: true}
	now := r.now
	for id, ago := range map[detector.AgentID]time.Duration{1: 20 * 24 * time.Hour, 2: 3 * 24 * time.Hour, 3: time.Hour} {
		r.now, lost.ID = now.Add(-ago), id
		r.publish(all, lost)
	}
	_ = os.Remove(r.file)
	r.agents = map[detector.AgentID]*expectedAgent{1: {step: 3, alerted: true}, 2: {step: 3, alerted: true}, 3: {held: true}}
	r.check(r.start(), "after the upgrade")
	r.check(r.start(), "and after one more start")
}

// A STATUS stream that is gone, with the file of another still there, makes no agent's alerts
// look published.
func TestTheFileOfAnotherStreamHidesNoAlert(t *testing.T) {
	t.Parallel()
	r, other := openAlertRun(t), openAlertRun(t)
	lost := detector.Decision{Verdict: detector.Changed, ID: 7, Name: "web", IP: "any", From: detector.Active, To: detector.Disconnected,
		Reason: detector.MissedKeepAlives, Missed: 3}
	r.publish(all, lost)
	r.agents[7] = &expectedAgent{lost: true, alerted: true}
	r.check(r.start(), "before")
	r.outbox = other.outbox
	if found := r.start(); len(found) != 0 {
		t.Errorf("%+v", found)
	}
	lost.AlertHeld = true
	r.publish(all, lost)
	r.agents[7] = &expectedAgent{lost: true, held: true}
	r.check(r.start(), "with the file of the other stream")
}

// With other steps in the settings, those count that come after the last alert.
// A loss's own alert has no away_for; an escalation has a second at least.
func TestTheAlertOfALossIsNoEscalationHoweverSoonThatIs(t *testing.T) {
	t.Parallel()
	after := []time.Duration{100 * time.Millisecond, 900 * time.Millisecond, 2500 * time.Millisecond}
	for awayFor, want := range map[time.Duration]int{0: 0, time.Second: 2, 2 * time.Second: 3} {
		if got := countSteps(after, awayFor); got != want {
			t.Errorf("%d escalations come up to %v, want %d", got, awayFor, want)
		}
	}
}

func TestOtherEscalationsInTheSettingsCountFromTheLastAlert(t *testing.T) {
	if got := countSteps([]time.Duration{1500 * time.Millisecond, time.Minute}, time.Second); got != 1 {
		t.Errorf("of 1.5 s, published as 1 s: step %d", got)
	}
	for awayFor, want := range map[time.Duration]int{0: 0, 59 * time.Second: 0, time.Minute: 1, 30 * time.Minute: 1, time.Hour: 2, 100 * time.Hour: 3} {
		if got := countSteps(escalateAfter, awayFor); got != want {
			t.Errorf("%v: step %d, want %d", awayFor, got, want)
		}
	}
}

func FuzzSentFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "alerts.json")
	s := NewSentAlerts()
	s.set(7, sentAlert{awayFor: 60, alerted: true})
	if err := s.Save(path, outbox.Position{Created: time.Unix(1, 0), Sequence: 4}, &Source{Epoch: 3}); err != nil {
		f.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	for _, text := range []string{string(text), "", "null", "{}", `{"created":"2026-01-02T03:04:05Z","number":{"epoch":1},"agents":[[1,2,3,4],[-1]]}`, "\x00\x00"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file, err := parseSentFile(text)
		if err == nil && (file.Created.IsZero() || file.Number.Epoch == 0 || slices.ContainsFunc(file.Agents, func(row [4]uint32) bool { return row[0] == 0 })) {
			t.Errorf("%+v", file)
		}
	})
}
