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
	// askRate and askBurst are how many requests a second may begin, and how many
	// at once. remoted serves three times as many round trips (on two cores, with the
	// agents' own keep-alives as its only other work).
	askRate, askBurst = 1000, 32
	// waitReport is how often the detector is told what has not been sent yet.
	waitReport = time.Second
)

// asker sends requests to agents: one at a time to each, and no more at once than
// remoted is to be burdened with. Who waits for its turn is known to the detector.
type asker struct {
	send     func(ctx context.Context, id detector.AgentID, patience time.Duration, sent func()) (remoted.Outcome, error) // the client's
	clock    *detector.Clock
	fleet    Fleet
	log      *slog.Logger
	grace    time.Duration                                  // for which an agent whose connection ended is asked again
	mark     func(detector.AgentID, time.Time)              // an agent was not connected then
	answered func(id detector.AgentID, sent time.Time) bool // whether an answer is a sign of life
	notice   func()                                         // whether remoted is still the same
	network  func(detector.AgentID) netip.Prefix
	gone     func() // remoted is not there

	work sync.WaitGroup
	kick chan struct{} // something may be sent
	rate *rate.Limiter
	said map[string]bool // odd answers that have been logged; under mu

	mu       sync.Mutex
	asked    map[detector.AgentID]*asked
	urgent   queue
	routine  queue
	out      int // requests that remoted has not answered
	places   places
	most     int // may be out
	window   int // of these, while remoted is slow
	patience time.Duration
	halted   bool      // remoted is not there, or does not answer
	restart  time.Time // of remoted, when agents have to come back to it
	returned time.Time // by then they are to be back; zero once that has passed

	mostOut int
	tally   remoted.OutcomeCounts
}

// asked is what the asker knows of an agent.
type asked struct {
	token     uint32 // of the keep-alive that is to be sent, or is out
	wanted    bool   // a keep-alive waits
	queued    bool
	calledOff bool      // it was given up while it was queued
	since     time.Time // queued
	out       int       // requests
	beside    bool      // another one may go beside the one that is
	again     bool      // there is reason to ask once more when it is answered
	closed    int       // how often it was asked since its connection ended
	ended     time.Time // when that was told
	sign      time.Time // of life, the last
	unproven  bool      // it was given up, and is said to be back
}

func (a *asker) of(id detector.AgentID) *asked {
	s := a.asked[id]
	if s == nil {
		s = &asked{}
		a.asked[id] = s
	}
	return s
}

// keep forgets the agents that are not to be kept.
func (a *asker) keep(stays func(detector.AgentID) bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for id, s := range a.asked {
		if s.out == 0 && !s.queued && !stays(id) {
			delete(a.asked, id)
		}
	}
}

// forgetAgent forgets what was seen of an agent, whose id another one has now. A request that is
// out goes on.
func (a *asker) forgetAgent(id detector.AgentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.asked[id]; s != nil {
		s.sign, s.ended, s.closed, s.unproven, s.wanted = time.Time{}, time.Time{}, 0, false, false
	}
}

// seen notes that an agent showed a sign of life.
func (a *asker) seen(id detector.AgentID, at time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.of(id)
	s.sign, s.closed, s.unproven = at, 0, false
	if s.wanted {
		a.enqueue(id, s, false)
	}
}

// keepAlive sends an agent the keep-alive with a token when its turn comes. If
// a request to it is out already, that one's answer comes first.
func (a *asker) keepAlive(id detector.AgentID, token uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.of(id)
	s.token, s.wanted = token, true
	a.enqueue(id, s, false)
}

// callOff takes it that an agent was given up: what waits to be sent to it would only keep
// a place from others.
func (a *asker) callOff(id detector.AgentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.asked[id]; s != nil {
		s.wanted, s.again, s.calledOff = false, false, true
	}
}

// check asks an agent out of turn: there is reason to believe that it is gone.
func (a *asker) check(id detector.AgentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.halted {
		return // nobody can say anything of it now
	}
	a.enqueue(id, a.of(id), true)
}

// confirm asks an agent that is said to be back, and reports whether it can be asked. It
// may have shown a sign of life, or only seem so.
func (a *asker) confirm(id detector.AgentID) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.halted {
		return false
	}
	s := a.of(id)
	s.unproven, s.beside = true, true // what is out may wait for an answer that cannot come any more
	a.enqueue(id, s, true)
	return true
}

// ended asks an agent whose connection has ended. A request that is out may have
// gone down with it, and remoted waits for its answer to the end: another one goes
// beside it.
func (a *asker) ended(id detector.AgentID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s := a.of(id); s.closed == 0 || time.Since(s.ended) > a.grace { // else it is looked for already
		a.lookFor(id, s)
	}
}

func (a *asker) lookFor(id detector.AgentID, s *asked) {
	if !a.halted {
		s.beside = true
		a.enqueue(id, s, true)
	}
}

func (a *asker) enqueue(id detector.AgentID, s *asked, urgent bool) {
	if s.out > 0 && !(s.beside && s.out == 1) {
		s.again = true
		return
	}
	if a.awaited(s) {
		return
	}
	s.calledOff = false
	if !s.queued {
		s.queued, s.since = true, time.Now()
		if urgent {
			a.urgent.push(id)
		} else {
			a.routine.push(id)
		}
	}
	a.ring()
}

func (a *asker) ring() {
	select {
	case a.kick <- struct{}{}:
	default:
	}
}

// run sends what may be sent until ctx ends, and waits for the answers to be
// given up.
func (a *asker) run(ctx context.Context) {
	defer a.work.Wait()
	tick := time.NewTicker(waitReport)
	defer tick.Stop()
	for {
		for {
			r, ok := a.next()
			if !ok {
				break
			}
			a.work.Go(func() { a.ask(ctx, r) })
			if a.rate.Wait(ctx) != nil {
				break
			}
		}
		select {
		case <-a.kick:
		case <-tick.C:
			a.release()
			a.reportWaiting()
		case <-ctx.Done():
			return
		}
	}
}

// next takes the agent whose turn it is, if one may be asked now.
func (a *asker) next() (r request, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.halted {
		return r, false
	}
	a.places.findStuck(time.Now())
	for tries := a.urgent.len() + a.routine.len(); tries > 0 && a.out < a.window; tries-- {
		from := &a.routine
		if a.urgent.len() > 0 {
			from = &a.urgent
		}
		id := from.pop()
		s := a.of(id)
		if a.awaited(s) || s.calledOff {
			s.queued = false
			continue
		}
		now := time.Now()
		doubted := s.unproven || a.places.inDoubt(s.sign, now, a.window)
		if doubted && !a.places.hasRoom(a.window, func() netip.Prefix { return a.network(id) }) {
			a.routine.push(id)
			continue
		}
		s.queued, s.wanted, s.again, s.beside = false, false, false, false
		s.out++
		a.out++
		a.mostOut = max(a.mostOut, a.out)
		return request{id: id, token: s.token, patience: a.patience, place: a.places.add(a.network(id), doubted, now)}, true
	}
	return r, false
}

// reportWaiting tells the detector which keep-alives have not left.
func (a *asker) reportWaiting() {
	now := a.clock.Now()
	var late []detector.Sighting
	a.mu.Lock()
	for id, s := range a.asked {
		if s.wanted && s.out == 0 {
			late = append(late, detector.Sighting{At: now, ID: id, Token: s.token, Kind: detector.Unsent})
		}
	}
	a.mu.Unlock()
	for _, s := range late {
		a.fleet.Report(s)
	}
}
