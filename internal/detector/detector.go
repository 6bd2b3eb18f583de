package detector

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// SweepPeriod is the time between two sweeps, and so the most by which a
	// decision comes after its deadline.
	SweepPeriod = 100 * time.Millisecond

	// tolerance is by how much a sweep may be late before the detector suspects
	// itself: the process was stopped, or did not get the processor.
	tolerance = time.Second
)

// Detector runs a Table in real time.
type Detector struct {
	clock   *Clock
	decide  func([]Decision)
	table   *Table
	in      *inbox
	calls   chan func(*Table, Instant)
	done    chan struct{}
	counts  [4]atomic.Int64
	waiters waiters
	last    Instant       // the last round; Run's
	asleep  time.Duration // for how long the machine had been suspended then; Run's

	lateness, sweeping, rounds meter // see Pace
}

// New returns a detector that hands its decisions to decide, in order, from
// the goroutine of Run. The slice is decide's until it returns. While decide
// does not return, nothing is detected.
func New(set Settings, clock *Clock, decide func([]Decision)) *Detector {
	return &Detector{clock: clock, decide: decide, table: NewTable(set), in: newInbox(),
		calls: make(chan func(*Table, Instant)), done: make(chan struct{})}
}

// Restore takes up what an earlier life of the node knew; see [Table.Restore].
// It may be called before Run.
func (d *Detector) Restore(agents []Restored, outage *Outage) {
	d.table.Restore(agents, outage)
	d.count()
}

// Run owns the table until ctx ends. It may be called once.
func (d *Detector) Run(ctx context.Context) {
	defer close(d.done)
	defer d.in.close()
	tick := time.NewTicker(SweepPeriod)
	defer tick.Stop()
	d.last, d.asleep = d.clock.Now(), d.clock.suspended()
	for {
		var call func(*Table, Instant)
		var due time.Time // of a sweep
		select {
		case <-ctx.Done():
			d.table.ReportWithheld()
			d.tell()
			return
		case call = <-d.calls:
		case <-d.in.wake:
		case due = <-tick.C:
		}
		now := d.now()
		switch {
		case call != nil: // what was seen before it comes first
			d.takeIn(now)
			call(d.table, now)
			d.tell()
		case due.IsZero():
			d.takeIn(now)
			d.tell()
		default:
			d.round(now, due)
		}
	}
}

// round is a sweep, with all that was seen before it.
func (d *Detector) round(now Instant, due time.Time) {
	began := time.Now()
	d.lateness.add(began.Sub(due))
	d.takeIn(now)
	sweep := time.Now()
	d.table.Sweep(now)
	d.sweeping.add(time.Since(sweep))
	d.tell()
	d.rounds.add(time.Since(began))
}

func (d *Detector) takeIn(now Instant) { d.table.Apply(upTo(now, d.in.drain())) }

// now returns the present instant, after taking out of the clock the time for
// which this goroutine was away.
func (d *Detector) now() Instant {
	now := d.clock.Now()
	if away := now.Sub(d.last) - SweepPeriod; away > tolerance {
		d.clock.lose(away)
		now = now.Add(-away)
		d.table.Resume(now, away)
	}
	if asleep := d.clock.suspended() - d.asleep; asleep > tolerance {
		d.asleep += asleep
		d.table.Resume(now, asleep)
	}
	d.last = now
	return now
}

// upTo brings instants that were read while the clock still counted the time
// away to the present.
func upTo(now Instant, seen []Sighting) []Sighting {
	for i := range seen {
		seen[i].At = min(seen[i].At, now)
	}
	return seen
}

func (d *Detector) count() {
	for status, n := range d.table.Counts() {
		d.counts[status].Store(int64(n))
	}
}

func (d *Detector) tell() {
	d.count()
	if out := d.table.TakeDecisions(); len(out) > 0 {
		d.clock.setTimes(out)
		d.waiters.hear(out)
		d.decide(out)
	}
}

// Report takes in a sighting. Any goroutine may call it. Sightings of one
// agent must be reported in the order of their instants.
func (d *Detector) Report(s Sighting) {
	d.in.put(s, s.Kind.urgent() || s.Kind == SawAnswer && d.waiters.any())
}

// SetMembers makes the fleet exactly these agents; see [Table.SetMembers]. It
// returns when that is done, or when the detector has ended.
func (d *Detector) SetMembers(members []Member) {
	d.call(func(t *Table, now Instant) { t.SetMembers(members, now) })
}

// ExtendGrace gives every agent d to come back; see [Table.ExtendGrace]. It returns when
// that is done, or when the detector has ended.
func (d *Detector) ExtendGrace(grace time.Duration) {
	d.call(func(t *Table, now Instant) { t.ExtendGrace(now, grace) })
}

// Page returns page n of the fleet; see [Table.Page]. Pages taken one after the
// other are each of their own moment.
func (d *Detector) Page(n int) (page []Record, more bool) {
	d.call(func(t *Table, _ Instant) { page, more = t.Page(make([]Record, 0, PageSize), n) })
	return page, more
}

// Agent returns one agent; see [Table.Agent].
func (d *Detector) Agent(id AgentID) (r Record, ok bool) {
	d.call(func(t *Table, _ Instant) { r, ok = t.Agent(id) })
	return r, ok
}

// Counts returns the number of agents in each status, indexed by Status, as of
// the latest round. It never waits.
func (d *Detector) Counts() (n [4]int) {
	for status := range n {
		n[status] = int(d.counts[status].Load())
	}
	return n
}

func (d *Detector) call(f func(*Table, Instant)) { _ = d.callIn(context.Background(), f) }

// callIn lets the owner of the table call f, unless ctx ends before it comes to it.
func (d *Detector) callIn(ctx context.Context, f func(*Table, Instant)) error {
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

// CheckAlive returns when Run has come to look at what it is asked, and so still
// sweeps; an error if ctx ends before, or Run has.
func (d *Detector) CheckAlive(ctx context.Context) error {
	return d.callIn(ctx, func(*Table, Instant) {})
}
