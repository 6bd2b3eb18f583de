package attach

import (
	"context"
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
)

// request is one to an agent.
type request struct {
	id      detector.AgentID
	token   uint32
	timeout time.Duration
	slot    *slot
	visit   int
}

// runProber sends what may be sent until ctx ends, and then waits for the requests in
// flight to end.
func (p *prober) runProber(ctx context.Context) {
	defer p.work.Wait()
	tick := time.NewTicker(waitReportPeriod)
	defer tick.Stop()
	for {
		for {
			r, ok := p.nextSendableRequest()
			if !ok {
				break
			}
			p.work.Go(func() { p.performRequest(ctx, r) })
			if p.rate.Wait(ctx) != nil {
				break
			}
		}
		select {
		case <-p.wake:
		case <-tick.C:
			p.queueHeldKeepAlives()
			p.reportWaitingKeepAlives()
		case <-ctx.Done():
			return
		}
	}
}

// nextSendableRequest returns the next request, if one may be sent now.
func (p *prober) nextSendableRequest() (r request, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.halted {
		return r, false
	}
	p.slots.findStuckRequests(time.Now())
	for tries := p.urgent.len() + p.routine.len(); tries > 0 && p.inFlight < p.window; tries-- {
		from := &p.routine
		if p.urgent.len() > 0 {
			from = &p.urgent
		}
		id := from.popAgent()
		s := p.probeStateOf(id)
		if p.isReturnAwaited(s) || s.canceled || p.index.isPassive(id) {
			s.queued = false
			continue
		}
		now := time.Now()
		doubted := s.unproven || p.slots.isAgentInDoubt(s.lastSign, now, p.window)
		if doubted && !p.slots.hasSlotFor(p.window, func() netip.Prefix { return p.index.networkOfAgent(id) }) {
			p.routine.pushAgent(id)
			continue
		}
		s.queued, s.wanted, s.again, s.beside = false, false, false, false
		s.inFlight++
		p.inFlight++
		p.peakInFlight = max(p.peakInFlight, p.inFlight)
		return request{id: id, token: s.token, timeout: p.timeout, slot: p.slots.takeSlot(p.index.networkOfAgent(id), doubted, now), visit: s.visit}, true
	}
	return r, false
}

// performRequest sends one request, and then to the tracker what became of it.
func (p *prober) performRequest(ctx context.Context, r request) {
	began := time.Now()
	what, err := p.client.RequestState(ctx, r.id, r.timeout, func() { p.reportSentRequest(r) })
	if ctx.Err() == nil {
		p.events.sendEvent(ctx, requestEnded{request: r, outcome: what, err: err, sent: began, at: p.clock.Now()})
	}
}

// reportSentRequest reports that a request has been sent. The time for its answer, and the
// round trip, begin now: before, it may have waited behind an older one, or for remoted.
func (p *prober) reportSentRequest(r request) {
	p.fleet.Report(detector.Sighting{At: p.clock.Now(), ID: r.id, Token: r.token, Kind: detector.Unsent})
}

// isFirstClosed reports whether it was not known before that an agent's connection has
// ended: its grace begins when that is found, and not when it is found again.
func (p *prober) isFirstClosed(id detector.AgentID) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.probeStateOf(id)
	first := s.closed == 0 || time.Since(s.closedAt) > p.grace+time.Second
	if first {
		s.closedAt = time.Now()
	}
	return first
}

// finishRequest frees the request's slot, and queues another one where there is reason to.
func (p *prober) finishRequest(r request, what remoted.Outcome) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.urgent.len()+p.routine.len() > 0 { // they may have waited for the slot
		p.wake.Send()
	}
	s := p.probeStateOf(r.id)
	p.inFlight--
	p.slots.freeSlot(r.slot)
	if r.visit != s.visit {
		s.stale--
		return
	}
	s.inFlight--
	again := s.again && (what != remoted.NotConnected || s.token != r.token)
	switch what {
	case remoted.Answered:
		s.lastSign, s.closed, s.unproven = time.Now(), 0, false
		again = s.again && s.token != r.token || s.wanted
	case remoted.NotConnected:
		p.scheduleReprobe(r.id, s)
	case remoted.Absent, remoted.Busy:
		again = true // it was not sent to the agent
		s.wanted = true
	case remoted.UnknownAgent:
		s.wanted = true // nor was this one; it is once the agent has shown a sign of life
	}
	if again {
		p.enqueueProbe(r.id, s, false)
	}
}

// scheduleReprobe queues another request, soon, to an agent whose connection ended: live
// ones come back at once. While many wait, their return is read from the database.
func (p *prober) scheduleReprobe(id detector.AgentID, s *probeState) {
	const first, margin, crowd = 300 * time.Millisecond, 200 * time.Millisecond, 1000
	left := p.grace - margin - time.Since(s.closedAt) // the last time is in time to count
	wait := min(first<<min(s.closed, 16), left)
	if s.closed++; left <= 0 || p.urgent.len()+p.routine.len() > crowd {
		return
	}
	time.AfterFunc(wait, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.probeAfterClose(id, p.probeStateOf(id))
	})
}
