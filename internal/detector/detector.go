// Package detector is the failure detector: it decides which agents are active.
//
// It depends on time and on agents only: no I/O, no NATS, no Wazuh. A link reports
// what it has received from an agent (a [Sighting]), and the detector returns
// [Decision]s: keep-alives to send, their outcome, and status changes.
//
// A [Table] is the deterministic core. It holds every agent in columns indexed
// by slot and does nothing by itself: the same calls with the same times give
// the same decisions. It is not safe for concurrent use.
//
// A [Detector] owns one Table. Its Run is the only goroutine that uses the
// table: links pass it sightings with [Detector.Report], which any goroutine
// may call, and readers get copies with [Detector.Page].
package detector

import (
	"context"
	"slices"
	"sync/atomic"
	"time"
)

const (
	// SweepPeriod is the time between two sweeps, and so the most by which a
	// decision comes after its deadline.
	SweepPeriod = 100 * time.Millisecond

	// tolerance is by how much a sweep may be late before the detector concludes that
	// its process was stopped, or did not get the processor.
	tolerance = time.Second
)

// Detector runs a Table in real time.
type Detector struct {
	clock     *Clock
	decide    func([]Decision)
	table     *Table
	inbox     *inbox
	calls     chan func(*Table, Instant)
	done      chan struct{}
	counts    [4]atomic.Int64
	dormant   atomic.Int64
	waiters   waiters
	lastTick  Instant       // when Run last woke up; Run's
	suspended time.Duration // for how long the machine had been suspended then; Run's

	lateness, sweeps, rounds atomicHistogram // see Timings
}

// New returns a detector that passes its decisions to decide, in order, from
// the goroutine of Run. The slice is valid until decide returns. While decide
// does not return, nothing is detected.
func New(set Settings, clock *Clock, decide func([]Decision)) *Detector {
	return &Detector{clock: clock, decide: decide, table: NewTable(set), inbox: newInbox(),
		calls: make(chan func(*Table, Instant)), done: make(chan struct{})}
}

// Restore restores the state of an earlier process; see [Table.Restore]. It must be
// called before Run.
func (d *Detector) Restore(agents []Restored, outage *Outage) {
	d.table.Restore(agents, outage)
	d.publishStatusCounts()
}

// Run owns the table until ctx ends. It may be called once.
func (d *Detector) Run(ctx context.Context) {
	defer close(d.done)
	defer d.inbox.close()
	tick := time.NewTicker(SweepPeriod)
	defer tick.Stop()
	d.lastTick, d.suspended = d.clock.Now(), d.clock.suspendedTime()
	for {
		var call func(*Table, Instant)
		var due time.Time // of a sweep
		select {
		case <-ctx.Done():
			d.table.ReportAllWithheld()
			d.deliverDecisions()
			return
		case call = <-d.calls:
		case <-d.inbox.wake:
		case due = <-tick.C:
		}
		now := d.currentInstant()
		switch {
		case call != nil: // sightings reported before it come first
			d.applySightings(now)
			call(d.table, now)
			d.deliverDecisions()
		case due.IsZero():
			d.applySightings(now)
			d.deliverDecisions()
		default:
			d.runSweep(now, due)
		}
	}
}

// runSweep applies the reported sightings, sweeps the table and passes the decisions on.
func (d *Detector) runSweep(now Instant, due time.Time) {
	began := time.Now()
	d.lateness.addDuration(began.Sub(due))
	d.applySightings(now)
	sweep := time.Now()
	d.table.Sweep(now)
	d.sweeps.addDuration(time.Since(sweep))
	d.deliverDecisions()
	d.rounds.addDuration(time.Since(began))
}

// applySightings applies the reported sightings, and between them the calls, in the order
// in which they were reported.
func (d *Detector) applySightings(now Instant) {
	seen, calls := d.inbox.takeInputs()
	seen = capInstants(now, seen)
	for range calls {
		n := slices.IndexFunc(seen, func(s Sighting) bool { return s.Kind == tableCall })
		d.table.Apply(seen[:n])
		calls[seen[n].Token](d.table, now)
		seen = seen[n+1:]
	}
	d.table.Apply(seen)
}

// currentInstant returns the current instant, after it has removed from the clock the time
// for which this process was stopped.
func (d *Detector) currentInstant() Instant {
	now := d.clock.Now()
	if away := now.Sub(d.lastTick) - SweepPeriod; away > tolerance {
		d.clock.skipTime(away)
		now = now.Add(-away)
		d.table.Resume(now, away)
	}
	if asleep := d.clock.suspendedTime() - d.suspended; asleep > tolerance {
		d.suspended += asleep
		d.table.Resume(now, asleep)
	}
	d.lastTick = now
	return now
}

// capInstants limits to now the instants that were read before the clock was set back.
func capInstants(now Instant, seen []Sighting) []Sighting {
	for i := range seen {
		seen[i].At = min(seen[i].At, now)
	}
	return seen
}

func (d *Detector) publishStatusCounts() {
	counts := d.table.Counts()
	for status, n := range counts.ByStatus {
		d.counts[status].Store(int64(n))
	}
	d.dormant.Store(int64(counts.Dormant))
}

func (d *Detector) deliverDecisions() {
	d.publishStatusCounts()
	if out := d.table.TakeDecisions(); len(out) > 0 {
		d.clock.setDecisionTimes(out)
		d.waiters.sendWaiterResults(out)
		d.decide(out)
	}
}

// Report reports a sighting. Any goroutine may call it. Sightings of one
// agent must be reported in the order of their instants.
func (d *Detector) Report(s Sighting) {
	d.inbox.addSighting(s, s.Kind.isUrgent() || s.Kind == SawAnswer && d.waiters.hasWaiters())
}

// ReportRelayed reports a sighting that shows nothing of where the agent is. It does the same:
// the difference matters to who reports sightings to other nodes.
func (d *Detector) ReportRelayed(s Sighting) { d.Report(s) }

// SetMembers makes the fleet exactly these agents; see [Table.SetMembers]. It
// returns when that is done, or when the detector has ended.
func (d *Detector) SetMembers(members []Member) {
	d.callTableAndWait(func(t *Table, now Instant) { t.SetMembers(members, now) })
}

// ExtendGrace gives every agent d to reconnect; see [Table.ExtendGrace]. It returns when
// that is done, or when the detector has ended.
func (d *Detector) ExtendGrace(grace time.Duration) {
	d.callTableAndWait(func(t *Table, now Instant) { t.ExtendGrace(now, grace) })
}

// Page returns page n of the fleet; see [Table.Page]. Successive pages are not of the
// same moment.
func (d *Detector) Page(n int) (page []Record, more bool) {
	d.callTableAndWait(func(t *Table, _ Instant) { page, more = t.Page(make([]Record, 0, PageSize), n) })
	return page, more
}

// Agent returns one agent; see [Table.Agent].
func (d *Detector) Agent(id AgentID) (r Record, ok bool) {
	d.callTableAndWait(func(t *Table, _ Instant) { r, ok = t.Agent(id) })
	return r, ok
}

// Counts returns the numbers of agents as of the latest sweep or sighting. It never
// waits.
func (d *Detector) Counts() (n Counts) {
	for status := range n.ByStatus {
		n.ByStatus[status] = int(d.counts[status].Load())
	}
	n.Dormant = int(d.dormant.Load())
	return n
}

func (d *Detector) callTableAndWait(f func(*Table, Instant)) {
	_ = d.callTableContext(context.Background(), f)
}

// callTableContext calls f in the goroutine of Run, unless ctx ends before that.
func (d *Detector) callTableContext(ctx context.Context, f func(*Table, Instant)) error {
	finished := make(chan struct{})
	select {
	case d.calls <- func(t *Table, now Instant) { f(t, now); close(finished) }:
		<-finished
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.done:
		return ErrEnded
	}
}

// CheckAlive returns nil when Run has responded, and so still sweeps; an error if ctx
// ends before that, or Run has ended.
func (d *Detector) CheckAlive(ctx context.Context) error {
	return d.callTableContext(ctx, func(*Table, Instant) {})
}
