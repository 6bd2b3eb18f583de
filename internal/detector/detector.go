package detector

import (
	"context"
	"sync/atomic"
	"time"
)

// SweepPeriod is the time between two sweeps, and so the most by which a
// decision comes after its deadline.
const SweepPeriod = 100 * time.Millisecond

// Detector runs a Table in real time.
type Detector struct {
	clock  *Clock
	decide func([]Decision)
	table  *Table
	in     *inbox
	calls  chan func(*Table)
	done   chan struct{}
	counts [4]atomic.Int64
}

// New returns a detector that hands its decisions to decide, in order, from
// the goroutine of Run. The slice is decide's until it returns. While decide
// does not return, nothing is detected.
func New(set Settings, clock *Clock, decide func([]Decision)) *Detector {
	return &Detector{clock: clock, decide: decide, table: NewTable(set), in: newInbox(),
		calls: make(chan func(*Table)), done: make(chan struct{})}
}

// Run owns the table until ctx ends. It may be called once.
func (d *Detector) Run(ctx context.Context) {
	defer close(d.done)
	defer d.in.close()
	tick := time.NewTicker(SweepPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case call := <-d.calls:
			call(d.table)
		case <-d.in.wake:
			d.table.Apply(d.in.drain())
		case <-tick.C:
			d.table.Apply(d.in.drain())
			d.table.Sweep(d.clock.Now())
		}
		for status, n := range d.table.Counts() {
			d.counts[status].Store(int64(n))
		}
		if out := d.table.Take(); len(out) > 0 {
			d.decide(out)
		}
	}
}

// Report takes in a sighting. Any goroutine may call it. Sightings of one
// agent must be reported in the order of their instants.
func (d *Detector) Report(s Sighting) { d.in.put(s) }

// SetMembers makes the fleet exactly these agents; see [Table.SetMembers]. It
// returns when that is done, or when the detector has ended.
func (d *Detector) SetMembers(members []Member) {
	d.call(func(t *Table) { t.SetMembers(members, d.clock.Now()) })
}

// Page returns page n of the fleet; see [Table.Page]. Pages taken one after the
// other are each of their own moment.
func (d *Detector) Page(n int) (page []Record, more bool) {
	d.call(func(t *Table) { page, more = t.Page(make([]Record, 0, PageSize), n) })
	return page, more
}

// Counts returns the number of agents in each status, indexed by Status, as of
// the latest round. It never waits.
func (d *Detector) Counts() (n [4]int) {
	for status := range n {
		n[status] = int(d.counts[status].Load())
	}
	return n
}

func (d *Detector) call(f func(*Table)) {
	finished := make(chan struct{})
	select {
	case d.calls <- func(t *Table) { f(t); close(finished) }:
		<-finished
	case <-d.done:
	}
}
