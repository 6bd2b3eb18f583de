package attach

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wake"
	"golang.org/x/time/rate"
)

const (
	// requestRate and requestBurst are how many requests a second may begin, and how many
	// at once. remoted serves three times as many round trips (on two cores, with the
	// agents' own keep-alives as its only other work).
	requestRate, requestBurst = 1000, 32
	// waitReportPeriod is how often it is reported which keep-alives have not been sent yet.
	waitReportPeriod = time.Second
)

// requester is the part of a remoted.Client that a prober uses.
type requester interface {
	RequestState(ctx context.Context, id detector.AgentID, timeout time.Duration, sent func()) (remoted.Outcome, error)
}

// prober sends requests to agents: one at a time to each, and no more at once than
// remoted may have. It reports to the detector which keep-alives wait to be sent, and
// sends the tracker what became of each request. Its methods may be called concurrently.
type prober struct {
	client requester
	events eventQueue
	clock  *detector.Clock
	fleet  Fleet
	index  *agentIndex
	log    *slog.Logger
	grace  time.Duration // for which an agent whose connection ended is probed again

	work         sync.WaitGroup
	wake         wake.Signal // something may be sent
	rate         *rate.Limiter
	loggedErrors logonce.Keys[string] // invalid answers that have been logged; under mu

	mu          sync.Mutex
	probes      map[detector.AgentID]*probeState
	urgent      agentQueue
	routine     agentQueue
	inFlight    int // requests that remoted has not answered
	slots       slotTable
	maxInFlight int
	window      int // how many may be in flight now: less than maxInFlight while remoted is slow
	timeout     time.Duration
	halted      bool      // remoted does not run, or does not answer
	restartedAt time.Time // remoted was, if agents have to come back to it
	awaitUntil  time.Time // until then they have time to; zero once that has passed

	peakInFlight int
	outcomes     remoted.OutcomeCounts
}

// probeState is the state of one agent.
type probeState struct {
	token    uint32 // of the keep-alive that is to be sent, or is in flight
	wanted   bool   // a keep-alive waits
	queued   bool
	canceled bool // the agent was lost while it was queued
	queuedAt time.Time
	inFlight int       // requests
	stale    int       // requests of visits before this one, which remoted has not given up
	visit    int       // counts how often the agent has left while it was asked
	beside   bool      // another one may be sent beside the one in flight
	again    bool      // there is reason for another one when this one ends
	closed   int       // how often it was probed since its connection ended
	closedAt time.Time // when that was found out
	lastSign time.Time // of life
	unproven bool      // it was lost, and may be back
}

func newProber(client requester, events eventQueue, index *agentIndex, cfg *Config) *prober {
	p := &prober{client: client, events: events, clock: cfg.Clock, fleet: cfg.Fleet, index: index, log: cfg.Log, grace: cfg.Grace,
		wake: wake.NewSignal(), rate: rate.NewLimiter(requestRate, requestBurst), loggedErrors: logonce.Keys[string]{Max: 20},
		probes: make(map[detector.AgentID]*probeState), halted: true}
	p.setRequestLimits(max(min(cfg.MaxInFlight, remoted.DefaultPool/poolShare), 1), remoted.DefaultResponseTimeout)
	return p
}

// probeStateOf returns the state of an agent, which it makes if there is none.
func (p *prober) probeStateOf(id detector.AgentID) *probeState {
	s := p.probes[id]
	if s == nil {
		s = &probeState{}
		p.probes[id] = s
	}
	return s
}

// retainAgents deletes all agents but those that stay.
func (p *prober) retainAgents(stays func(detector.AgentID) bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, s := range p.probes {
		if s.inFlight+s.stale == 0 && !s.queued && !stays(id) {
			delete(p.probes, id)
		}
	}
}

// forgetAgent deletes what was seen of an agent that has left, or whose id another one has
// now. A request in flight goes on, for as long as remoted waits for its answer: should the
// agent come back meanwhile, it is asked all the same.
func (p *prober) forgetAgent(id detector.AgentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.probes[id]; s != nil {
		s.lastSign, s.closedAt, s.closed, s.unproven, s.wanted = time.Time{}, time.Time{}, 0, false, false
		if s.inFlight > 0 && s.stale < maxStale {
			s.visit, s.stale, s.inFlight, s.again, s.beside = s.visit+1, s.stale+s.inFlight, 0, false, false
		}
	}
}

// maxStale is how many requests of an agent's earlier visits may be in flight beside those of
// this one.
const maxStale = 2

// isStale reports whether a request was sent before the agent left, and came back.
func (p *prober) isStale(r request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return r.visit != p.probeStateOf(r.id).visit
}

// recordSignOfLife records that an agent showed a sign of life at a time.
func (p *prober) recordSignOfLife(id detector.AgentID, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.probeStateOf(id)
	s.lastSign, s.closed, s.unproven = at, 0, false
	if s.wanted {
		p.enqueueProbe(id, s, false)
	}
}

// queueKeepAlive queues the keep-alive with a token. If a request to the agent is in
// flight, it waits for that one's end.
func (p *prober) queueKeepAlive(id detector.AgentID, token uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.probeStateOf(id)
	s.token, s.wanted = token, true
	p.enqueueProbe(id, s, false)
}

// cancelQueuedProbes drops what waits to be sent to an agent that was lost: it would take a
// slot from others.
func (p *prober) cancelQueuedProbes(id detector.AgentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.probes[id]; s != nil {
		s.wanted, s.again, s.canceled = false, false, true
	}
}

// probeAgent queues an urgent request to an agent that may be gone.
func (p *prober) probeAgent(id detector.AgentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.halted {
		return // it would show nothing now
	}
	p.enqueueProbe(id, p.probeStateOf(id), true)
}

// probeReturnedAgent queues an urgent request to an agent that may be back, and reports
// whether it could.
func (p *prober) probeReturnedAgent(id detector.AgentID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.halted {
		return false
	}
	s := p.probeStateOf(id)
	s.unproven, s.beside = true, true // the one in flight may wait for an answer that cannot come any more
	p.enqueueProbe(id, s, true)
	return true
}

// handleClosedConn queues an urgent request to an agent whose connection has ended. The
// answer to one in flight may have been lost with it, and remoted waits for it to the
// end: another one is sent beside it.
func (p *prober) handleClosedConn(id detector.AgentID) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.probeStateOf(id); s.closed == 0 || time.Since(s.closedAt) > p.grace { // else it is being probed for that reason
		p.probeAfterClose(id, s)
	}
}

func (p *prober) probeAfterClose(id detector.AgentID, s *probeState) {
	if !p.halted {
		s.beside = true
		p.enqueueProbe(id, s, true)
	}
}

// enqueueProbe queues a request, unless one is queued or in flight.
func (p *prober) enqueueProbe(id detector.AgentID, s *probeState, urgent bool) {
	if p.index.isPassive(id) {
		s.wanted, s.again = false, false
		return
	}
	if s.inFlight > 0 && !(s.beside && s.inFlight == 1) {
		s.again = true
		return
	}
	if p.isReturnAwaited(s) {
		return
	}
	s.canceled = false
	if !s.queued {
		s.queued, s.queuedAt = true, time.Now()
		if urgent {
			p.urgent.pushAgent(id)
		} else {
			p.routine.pushAgent(id)
		}
	}
	p.wake.Send()
}

// reportWaitingKeepAlives reports which keep-alives have not been sent.
func (p *prober) reportWaitingKeepAlives() {
	now := p.clock.Now()
	var late []detector.Sighting
	p.mu.Lock()
	for id, s := range p.probes {
		if s.wanted && s.inFlight == 0 {
			late = append(late, detector.Sighting{At: now, ID: id, Token: s.token, Kind: detector.Unsent})
		}
	}
	p.mu.Unlock()
	for _, s := range late {
		p.fleet.Report(s)
	}
}
