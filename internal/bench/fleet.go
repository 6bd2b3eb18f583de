package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

const (
	notify    = 10 * time.Second     // between an agent's own keep-alives
	beats     = 5                    // of an agent, before the measurement: it has a habit then
	tick      = 5 * time.Millisecond // the agents whose turns are within it have them together
	answering = time.Millisecond     // how long an agent takes to answer
)

// fleet plays the agents.
type fleet struct {
	order    order
	clock    *detector.Clock
	detector *detector.Detector
	start    detector.Instant // of the first turn
	seen     atomic.Int64     // own keep-alives reported since then

	mu      sync.Mutex
	asked   []request
	spare   []request
	waiting chan struct{} // there are asked
	tally   tally
}

type request struct {
	id    detector.AgentID
	token uint32
}

// tally counts the detector's decisions.
type tally struct {
	sent, failed, acknowledged, overdue, outages, flapping, resumed int64
	to                                                              [4]int64 // changes, by the new status
}

func newFleet(agents int) *fleet {
	return &fleet{order: newOrder(agents), clock: detector.NewClock(), waiting: make(chan struct{}, 1)}
}

// decide takes the detector's decisions.
func (f *fleet) decide(all []detector.Decision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range all {
		f.tally.count(&all[i])
		if all[i].Verdict == detector.Send {
			f.asked = append(f.asked, request{all[i].ID, all[i].Token})
		}
	}
	if len(f.asked) > 0 {
		select {
		case f.waiting <- struct{}{}:
		default:
		}
	}
}

func (t *tally) count(d *detector.Decision) {
	switch d.Verdict {
	case detector.Send:
		t.sent++
	case detector.Acknowledged:
		t.acknowledged++
	case detector.Failed:
		t.failed++
	case detector.Changed:
		t.to[d.To]++
	case detector.Overdue:
		t.overdue++
	case detector.Flapping:
		t.flapping++
	case detector.OutageBegan:
		t.outages++
	case detector.Resumed:
		t.resumed++
	}
}

func (f *fleet) counted() tally {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tally
}

// answer answers keep-alives until ctx ends.
func (f *fleet) answer(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.waiting:
		}
		time.Sleep(answering)
		f.mu.Lock()
		asked := f.asked
		f.asked, f.spare = f.spare[:0], asked
		f.mu.Unlock()
		now := f.clock.Now()
		for _, r := range asked {
			f.detector.Report(detector.Sighting{At: now, ID: r.id, Addr: address(r.id), Kind: detector.SawAnswer, Token: r.token})
		}
	}
}

// introduce lets all agents in, and tells of each what it did in the minute
// before turns that begin at first: the detector knows its habit then.
func (f *fleet) introduce(ctx context.Context, first detector.Instant) {
	for i := int64(0); i < int64(f.order.agents) && ctx.Err() == nil; i++ {
		s := detector.Sighting{At: f.turn(first, i).Add(-beats * notify), ID: f.order.at(i), Kind: detector.SawStartup}
		s.Addr = address(s.ID)
		f.detector.Report(s)
		for range beats {
			s.Kind = detector.SawKeepAlive
			f.detector.Report(s)
			s.At++
			s.Kind, s.Token = detector.SawAnswer, 1 // if it was asked meanwhile: it never is twice within that time
			f.detector.Report(s)
			s.At = s.At.Add(notify) - 1
		}
	}
}

// turn is when the i-th turn is, of turns that begin at first.
func (f *fleet) turn(first detector.Instant, i int64) detector.Instant {
	n := int64(f.order.agents)
	return first.Add(time.Duration(i/n)*notify + notify*time.Duration(i%n)/time.Duration(n))
}

// due is how many turns there were by now.
func (f *fleet) due(now detector.Instant) int64 {
	past := now.Sub(f.start)
	if past < 0 {
		return 0
	}
	n := int64(f.order.agents)
	return int64(past/notify)*n + int64(past%notify)*n/int64(notify) + 1
}

// live reports the agents' own keep-alives until ctx ends.
func (f *fleet) live(ctx context.Context) {
	every := time.NewTicker(tick)
	defer every.Stop()
	for i := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		now := f.clock.Now()
		for due := f.due(now); i < due; i++ {
			id := f.order.at(i)
			f.detector.Report(detector.Sighting{At: now, ID: id, Addr: address(id), Kind: detector.SawKeepAlive})
		}
		f.seen.Store(i)
	}
}
