package fleet

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Agents are counted once in countsAge if somebody asks for the counts, and so seldom that it takes
// one part in countsShare of one processor's time at most.
const (
	countsAge   = time.Second
	countsShare = 100
)

// Counts returns how many agents there were when [Fleet.Run] counted them last, and before that how
// many this node has. It never waits.
func (f *Fleet) Counts() detector.Counts {
	f.asked.Store(true)
	if n := f.counts.Load(); n != nil {
		return *n
	}
	return f.Table.Counts()
}

// Run counts the agents until ctx ends.
func (f *Fleet) Run(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-pause.C:
		case <-ctx.Done():
			return
		}
		began := time.Now()
		if f.counts.Load() == nil || f.asked.Swap(false) {
			f.updateCounts()
		}
		pause.Reset(max(countsAge, countsShare*time.Since(began)))
	}
}

func (f *Fleet) updateCounts() {
	n := f.countAgents()
	f.counts.Store(&n)
}

func (f *Fleet) countAgents() (n detector.Counts) {
	all := newReading(f, true)
	for more := true; more; {
		var page []detector.Record
		page, more = all.Page(0)
		for i := range page {
			n.ByStatus[page[i].Status]++
			if page[i].Dormant {
				n.Dormant++
			}
		}
	}
	return n
}
