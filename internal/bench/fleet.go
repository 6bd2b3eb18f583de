package bench

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

const (
	notifyInterval   = 10 * time.Second     // between an agent's own keep-alives
	keepAlivesBefore = 5                    // of each agent, so that the detector knows its interval before the measurement
	turnTick         = 5 * time.Millisecond // agents whose turns are within it are reported together
	answerDelay      = time.Millisecond     // how long an agent takes to answer
)

// fleet simulates the agents.
type fleet struct {
	order    turnOrder
	clock    *detector.Clock
	detector *detector.Detector
	start    detector.Instant // of the first turn
	seen     atomic.Int64     // own keep-alives reported since then

	mu      sync.Mutex
	asked   []request
	spare   []request
	waiting chan struct{} // signals that asked is not empty
	tally   tally
}

// request is a keep-alive that an agent has to answer.
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
	return &fleet{order: newTurnOrder(agents), clock: detector.NewClock(), waiting: make(chan struct{}, 1)}
}

// recordDecisions receives the detector's decisions.
func (f *fleet) recordDecisions(all []detector.Decision) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range all {
		f.tally.countDecision(&all[i])
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

func (t *tally) countDecision(d *detector.Decision) {
	switch d.Verdict {
	case detector.Send:
		t.sent++
	case detector.Acknowledged:
		t.acknowledged++
	case detector.Failed:
		t.failed++
	case detector.Changed:
		t.to[d.To]++
	case detector.AlertReleased:
		t.overdue++
	case detector.Flapping:
		t.flapping++
	case detector.OutageBegan:
		t.outages++
	case detector.Resumed:
		t.resumed++
	}
}

func (f *fleet) readTally() tally {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.tally
}

// answerKeepAlives answers keep-alives until ctx ends.
func (f *fleet) answerKeepAlives(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.waiting:
		}
		time.Sleep(answerDelay)
		f.mu.Lock()
		asked := f.asked
		f.asked, f.spare = f.spare[:0], asked
		f.mu.Unlock()
		now := f.clock.Now()
		for _, r := range asked {
			f.detector.Report(detector.Sighting{At: now, ID: r.id, Addr: agentAddress(r.id), Kind: detector.SawAnswer, Token: r.token})
		}
	}
}

// introduceAgents reports for each agent a startup and the keep-alives of the
// minute before turns that begin at first, so that the detector knows its
// interval.
func (f *fleet) introduceAgents(ctx context.Context, first detector.Instant) {
	for i := int64(0); i < int64(f.order.agents) && ctx.Err() == nil; i++ {
		s := detector.Sighting{At: f.turnTime(first, i).Add(-keepAlivesBefore * notifyInterval), ID: f.order.agentAt(i), Kind: detector.SawStartup}
		s.Addr = agentAddress(s.ID)
		f.detector.Report(s)
		for range keepAlivesBefore {
			s.Kind = detector.SawKeepAlive
			f.detector.Report(s)
			s.At++
			s.Kind, s.Token = detector.SawAnswer, 1 // in case it was asked meanwhile; it is never asked twice within that time
			f.detector.Report(s)
			s.At = s.At.Add(notifyInterval) - 1
		}
	}
}

// turnTime returns the time of the i-th turn, of turns that begin at first.
func (f *fleet) turnTime(first detector.Instant, i int64) detector.Instant {
	n := int64(f.order.agents)
	return first.Add(time.Duration(i/n)*notifyInterval + notifyInterval*time.Duration(i%n)/time.Duration(n))
}

// turnsUntil returns how many turns there were until now.
func (f *fleet) turnsUntil(now detector.Instant) int64 {
	past := now.Sub(f.start)
	if past < 0 {
		return 0
	}
	n := int64(f.order.agents)
	return int64(past/notifyInterval)*n + int64(past%notifyInterval)*n/int64(notifyInterval) + 1
}

// reportKeepAlives reports the agents' own keep-alives until ctx ends.
func (f *fleet) reportKeepAlives(ctx context.Context) {
	every := time.NewTicker(turnTick)
	defer every.Stop()
	for i := int64(0); ; {
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
		now := f.clock.Now()
		for due := f.turnsUntil(now); i < due; i++ {
			id := f.order.agentAt(i)
			f.detector.Report(detector.Sighting{At: now, ID: id, Addr: agentAddress(id), Kind: detector.SawKeepAlive})
		}
		f.seen.Store(i)
	}
}
