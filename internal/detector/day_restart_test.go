package detector

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// worldOutage is an outage according to the reports.
type worldOutage struct {
	on       bool
	last     *Outage              // with its instants as seconds of the day
	members  map[*worldAgent]bool // and whether they are away
	ended    int64                // the second in which the last one did
	restarts int                  // while one went on
	wrong    []string             // counts that do not add up
}

// restart is the state that the next table is restored from.
type restart struct {
	now    Instant
	said   []Decision // the last decisions before
	first  []Decision // the first after
	agents []Restored
	quiet  []Silenced
	outage *Outage
}

// restart ends the table and begins another one, with what was reported.
func (w *world) restart() *restart {
	w.table.ReportAllWithheld()
	r := &restart{said: slices.Clone(w.table.TakeDecisions()), now: Instant(time.Second)}
	for i := range r.said {
		w.handleDecision(&r.said[i])
	}
	w.starts++
	if w.outage.on {
		w.outage.restarts++
	}
	w.base = w.now - 1
	for id := range w.agents {
		if d := w.agents[id].last; d != nil {
			r.agents = append(r.agents, w.restored(d, &w.agents[id]))
		}
	}
	if o := w.outage.last; o != nil {
		r.outage = &Outage{Since: w.instant(o.Since), Watched: o.Watched, ReportedAt: w.instant(o.ReportedAt)}
		if o.Ended != 0 {
			r.outage.Ended = min(w.instant(o.Ended), -1)
		}
	}
	w.table = NewTable(daySettings)
	w.table.Restore(r.agents, r.outage)
	for i := range w.agents {
		if w.agents[i].silenced {
			r.quiet = append(r.quiet, Silenced{AgentID(i + 1), true})
		}
	}
	w.table.SetSilenced(r.quiet, r.now)
	w.table.SetMembers(w.members(), r.now)
	r.first = slices.Clone(w.table.TakeDecisions())
	for i := range r.first {
		w.handleDecision(&r.first[i])
	}
	return r
}

// instant returns the instant of a second of the day.
func (w *world) instant(second Instant) Instant {
	return (second - Instant(w.base)) * Instant(time.Second)
}

// second returns the second of the day of an instant, cut off as in a message.
func (w *world) second(at Instant) Instant { return Instant(w.base) + Instant(at.second()) }

// since returns the time from a second of the day to an instant.
func (w *world) since(at Instant, second int64) time.Duration {
	return at.Sub(w.instant(Instant(second)))
}

func (w *world) restored(d *Decision, a *worldAgent) Restored {
	evidence := d.Evidence
	evidence.HostProbedAt = w.instant(evidence.HostProbedAt)
	addr, _ := netip.ParseAddr(d.IP)
	return Restored{Member: Member{ID: d.ID, Name: d.Name, IP: d.IP}, Addr: addr, Status: d.To, Reason: d.Reason, Missed: d.Missed,
		Since: w.instant(d.At), LastSeen: w.instant(d.LastSeen), Greeted: d.To == Active || d.From == Active || d.From == Disconnected,
		Outage: d.Outage, Part: d.Part, From: d.From, Silenced: d.Silenced, Evidence: evidence,
		Step: a.step, AlertHeld: a.alertHeld, Alerted: a.alerted, Flapping: a.flapping}
}

// publish records an agent's change for the next restart.
func (w *world) publish(a *worldAgent, d *Decision) {
	last := *d
	last.At, last.LastSeen, last.HostProbedAt = w.second(d.At), w.second(d.LastSeen), w.second(d.HostProbedAt)
	window := Instant(daySettings.FlapWindow / time.Second)
	a.flapping = a.flapping && a.last != nil && last.At-a.last.At < window
	a.step, a.alertHeld, a.alerted = 0, d.AlertHeld, d.To == Disconnected && !d.AlertHeld
	if !d.Seen {
		last.LastSeen = last.At
	}
	a.last, a.known = &last, w.now
	if _, was := w.outage.members[a]; was || d.Outage {
		w.outage.addMember(a, d.Outage)
	}
}

func (o *worldOutage) addMember(a *worldAgent, away bool) {
	if o.members == nil {
		o.members = map[*worldAgent]bool{}
	}
	o.members[a] = away
}

// beginOutage adds as members those that were lost within the last interval,
// and since the table began.
func (w *world) beginOutage(d *Decision) {
	o := &w.outage
	o.on, o.last = true, &Outage{Since: w.second(d.Fleet.Since), Watched: d.Fleet.Watched, ReportedAt: w.second(d.At)}
	for i := range w.agents {
		a := &w.agents[i]
		if a.last != nil && a.status == Disconnected && a.last.Reason.IsLoss() && !a.last.Silenced && a.known > max(o.ended, w.base) && w.now-a.known < int64(daySettings.Interval/time.Second) {
			o.addMember(a, true)
			if a.alerted {
				w.verdicts.foundLater++
			}
		}
	}
	o.checkReport("began", d.Fleet, 0)
}

func (w *world) endOutage(d *Decision) {
	o := &w.outage
	back := 0
	for _, away := range o.members {
		if !away {
			back++
		}
	}
	o.checkReport("ended", d.Fleet, back)
	o.on, o.ended, o.members = false, w.now, nil
	o.last.Ended = w.second(d.At)
}

func (o *worldOutage) checkReport(what string, f *Fleet, back int) {
	if f.Lost != len(o.members) || f.Closed+f.Silent != f.Lost || what == "ended" && f.Back != back {
		o.wrong = append(o.wrong, fmt.Sprintf("one %s with %d lost, %d closed, %d silent, %d back; want %d lost, %d back", what, f.Lost, f.Closed, f.Silent, f.Back, len(o.members), back))
	}
}

// restoreModel ends the model, too, and begins another one.
func (r *restart) restoreModel(m *model, members []Member) (*model, error) {
	m.reportAllWithheld()
	if err := compareLists(m.decisions, r.said); err != nil {
		return nil, err
	}
	next := newModel(daySettings)
	next.agenda = map[int64][]*modelAgent{}
	next.restore(r.agents, r.outage)
	next.setSilenced(r.quiet, r.now)
	next.setMembers(members, r.now)
	for _, a := range next.slots {
		at, _ := next.nextDeadline(a)
		next.scheduleCheck(a, at)
	}
	err := compareLists(next.decisions, r.first)
	next.decisions, next.limited = nil, 0
	return next, err
}

func TestAnOutageCountsTheSameOverRestarts(t *testing.T) {
	seeds := uint64(3)
	if raceEnabled || testing.Short() {
		seeds = 1
	}
	t.Parallel()
	for seed := range seeds {
		w := newWorld(2000, 12*time.Hour, seed)
		results, done := make(chan step, 64), make(chan error, 1)
		go func() { done <- w.checkModel(results) }()
		w.run(results)
		close(results)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		t.Logf("%d outages, %d restarts in one", w.outages, w.outage.restarts)
		w.verdicts.checkAlerts(t)
		if len(w.outage.wrong) > 0 || w.broken > 0 || w.outage.restarts == 0 {
			t.Errorf("seed %d: %d restarts in an outage, wrong counts %q, %d reports that do not follow", seed, w.outage.restarts, w.outage.wrong, w.broken)
		}
	}
}
