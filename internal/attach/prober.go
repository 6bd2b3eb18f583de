package attach

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"golang.org/x/time/rate"
)

const (
	// requestRate and askBurst are how many requests a second may begin, and how many
	// at once. remoted serves three times as many round trips (on two cores, with the
	// agents' own keep-alives as its only other work).
	requestRate, requestBurst = 1000, 32
	// waitReportPeriod is how often the detector is told what has not been sent yet.
	waitReportPeriod = time.Second
)

// requester is the part of a remoted.Client that a prober uses.
type requester interface {
	RequestState(ctx context.Context, id detector.AgentID, timeout time.Duration, sent func()) (remoted.Outcome, error)
}

// prober sends requests to agents: one at a time to each, and no more at once than
// remoted is to be burdened with. Who waits for its turn is known to the detector.
type prober struct {
	client requester
	events eventQueue
	clock  *detector.Clock
	fleet  Fleet
	index  *agentIndex
	log    *slog.Logger
	grace  time.Duration // for which an agent whose connection ended is probed again

	work         sync.WaitGroup
	kick         chan struct{} // something may be sent
	rate         *rate.Limiter
	loggedErrors map[string]bool // odd answers that have been logged; under mu

	mu          sync.Mutex
	probes      map[detector.AgentID]*probeState
	urgent      agentQueue
	routine     agentQueue
	inFlight    int // requests that remoted has not answered
	slots       slotTable
	maxInFlight int // may be out
	window      int // of these, while remoted is slow
	timeout     time.Duration
	halted      bool      // remoted is not there, or does not answer
	restartedAt time.Time // of remoted, when agents have to come back to it
	awaitUntil  time.Time // by then they are to be back; zero once that has passed

	peakInFlight int
	outcomes     remoted.OutcomeCounts
}

// probeState is what the asker knows of an agent.
type probeState struct {
	token    uint32 // of the keep-alive that is to be sent, or is out
	wanted   bool   // a keep-alive waits
	queued   bool
	canceled bool      // it was given up while it was queued
	queuedAt time.Time // queued
	inFlight int       // requests
	beside   bool      // another one may go beside the one that is
	again    bool      // there is reason to ask once more when it is answered
	closed   int       // how often it was asked since its connection ended
	closedAt time.Time // when that was told
	lastSign time.Time // of life, the last
	unproven bool      // it was given up, and is said to be back
}

func newProber(client requester, events eventQueue, index *agentIndex, cfg *Config) *prober {
	p := &prober{client: client, events: events, clock: cfg.Clock, fleet: cfg.Fleet, index: index, log: cfg.Log, grace: cfg.Grace,
		kick: make(chan struct{}, 1), rate: rate.NewLimiter(requestRate, requestBurst), loggedErrors: make(map[string]bool),
		probes: make(map[detector.AgentID]*probeState), halted: true}
	p.setLimits(max(min(cfg.MaxInFlight, remoted.DefaultPool/poolShare), 1), remoted.DefaultResponseTimeout)
	return p
}

func (a *prober) probeOf(id detector.AgentID) *probeState {
	s := a.probes[id]
	if s == nil {
		s = &probeState{}
		a.probes[id] = s
	}
	return s
}

// retainAgents forgets the agents that are not to be kept.
func (a *prober) retainAgents(stays func(detector.AgentID) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, s := range a.probes {
		if s.inFlight == 0 && !s.queued && !stays(id) {
			delete(a.probes, id)
		}
	}
}

// forgetAgent forgets what was seen of an agent, whose id another one has now. A request that is
// out goes on.
func (a *prober) forgetAgent(id detector.AgentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.probes[id]; s != nil {
		s.lastSign, s.closedAt, s.closed, s.unproven, s.wanted = time.Time{}, time.Time{}, 0, false, false
	}
}

// recordSign notes that an agent showed a sign of life.
func (a *prober) recordSign(id detector.AgentID, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.probeOf(id)
	s.lastSign, s.closed, s.unproven = at, 0, false
	if s.wanted {
		a.enqueueProbe(id, s, false)
	}
}

// queueKeepAlive sends an agent the keep-alive with a token when its turn comes. If
// a request to it is out already, that one's answer comes first.
func (a *prober) queueKeepAlive(id detector.AgentID, token uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.probeOf(id)
	s.token, s.wanted = token, true
	a.enqueueProbe(id, s, false)
}

// cancelProbes takes it that an agent was given up: what waits to be sent to it would only keep
// a place from others.
func (a *prober) cancelProbes(id detector.AgentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.probes[id]; s != nil {
		s.wanted, s.again, s.canceled = false, false, true
	}
}

// probeAgent asks an agent out of turn: there is reason to believe that it is gone.
func (a *prober) probeAgent(id detector.AgentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.halted {
		return // nobody can say anything of it now
	}
	a.enqueueProbe(id, a.probeOf(id), true)
}

// probeReturned asks an agent that is said to be back, and reports whether it can be asked. It
// may have shown a sign of life, or only seem so.
func (a *prober) probeReturned(id detector.AgentID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.halted {
		return false
	}
	s := a.probeOf(id)
	s.unproven, s.beside = true, true // what is out may wait for an answer that cannot come any more
	a.enqueueProbe(id, s, true)
	return true
}

// handleClosed asks an agent whose connection has ended. A request that is out may have
// gone down with it, and remoted waits for its answer to the end: another one goes
// beside it.
func (a *prober) handleClosed(id detector.AgentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.probeOf(id); s.closed == 0 || time.Since(s.closedAt) > a.grace { // else it is looked for already
		a.probeClosed(id, s)
	}
}

func (a *prober) probeClosed(id detector.AgentID, s *probeState) {
	if !a.halted {
		s.beside = true
		a.enqueueProbe(id, s, true)
	}
}

func (a *prober) enqueueProbe(id detector.AgentID, s *probeState, urgent bool) {
	if s.inFlight > 0 && !(s.beside && s.inFlight == 1) {
		s.again = true
		return
	}
	if a.isAwaited(s) {
		return
	}
	s.canceled = false
	if !s.queued {
		s.queued, s.queuedAt = true, time.Now()
		if urgent {
			a.urgent.push(id)
		} else {
			a.routine.push(id)
		}
	}
	a.wakeProber()
}

func (a *prober) wakeProber() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// runProber sends what may be sent until ctx ends, and waits for the answers to be
// given up.
func (a *prober) runProber(ctx context.Context) {
	defer a.work.Wait()
	tick := time.NewTicker(waitReportPeriod)
	defer tick.Stop()
	for {
		for {
			r, ok := a.nextRequest()
			if !ok {
				break
			}
			a.work.Go(func() { a.performRequest(ctx, r) })
			if a.rate.Wait(ctx) != nil {
				break
			}
		}
		select {
		case <-a.kick:
		case <-tick.C:
			a.releaseAwaited()
			a.reportWaiting()
		case <-ctx.Done():
			return
		}
	}
}

// nextRequest takes the agent whose turn it is, if one may be asked now.
func (a *prober) nextRequest() (r request, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.halted {
		return r, false
	}
	a.slots.findStuck(time.Now())
	for tries := a.urgent.len() + a.routine.len(); tries > 0 && a.inFlight < a.window; tries-- {
		from := &a.routine
		if a.urgent.len() > 0 {
			from = &a.urgent
		}
		id := from.pop()
		s := a.probeOf(id)
		if a.isAwaited(s) || s.canceled {
			s.queued = false
			continue
		}
		now := time.Now()
		doubted := s.unproven || a.slots.inDoubt(s.lastSign, now, a.window)
		if doubted && !a.slots.hasSlotFor(a.window, func() netip.Prefix { return a.index.networkOf(id) }) {
			a.routine.push(id)
			continue
		}
		s.queued, s.wanted, s.again, s.beside = false, false, false, false
		s.inFlight++
		a.inFlight++
		a.peakInFlight = max(a.peakInFlight, a.inFlight)
		return request{id: id, token: s.token, timeout: a.timeout, slot: a.slots.takeSlot(a.index.networkOf(id), doubted, now)}, true
	}
	return r, false
}

// reportWaiting tells the detector which keep-alives have not left.
func (a *prober) reportWaiting() {
	now := a.clock.Now()
	var late []detector.Sighting
	a.mu.Lock()
	for id, s := range a.probes {
		if s.wanted && s.inFlight == 0 {
			late = append(late, detector.Sighting{At: now, ID: id, Token: s.token, Kind: detector.Unsent})
		}
	}
	a.mu.Unlock()
	for _, s := range late {
		a.fleet.Report(s)
	}
}
