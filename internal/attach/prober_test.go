package attach

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

// newTestProber returns a prober that does not run, and may have so many requests out.
func newTestProber(most int) *prober {
	p := newProber(nil, make(eventQueue), new(agentIndex), &Config{MaxInFlight: most, Log: slog.New(new(logRecorder))})
	p.setRequestLimits(most, time.Minute)
	p.setSendingHalted(false)
	return p
}

// newTestTracker returns a tracker that only handles what a prober sends.
func newTestTracker(p *prober) *tracker {
	return &tracker{events: p.events, clock: p.clock, fleet: p.fleet, prober: p, index: p.index, absences: newAbsences(nil), passive: newPassiveAgents("", wazuhdb.ClusterRole{}),
		owners: newOwners(wazuhdb.ClusterRole{}, nil), locator: newLocator(nil, &Config{}, nil, false), nodes: new(coarseNodes)}
}

func (a *prober) takeAll() (ids []detector.AgentID) {
	for {
		r, ok := a.nextSendableRequest()
		if !ok {
			return ids
		}
		ids = append(ids, r.id)
	}
}

func TestSilentAgentsDoNotTakeAllPlaces(t *testing.T) {
	a := newTestProber(8)
	for id := detector.AgentID(1); id <= 20; id++ {
		if id > 15 {
			a.recordSignOfLife(id, time.Now())
		}
		a.queueKeepAlive(id, 1)
	}
	got := a.takeAll()
	if len(got) != 8 || a.slots.doubtful != 4 {
		t.Fatalf("asked %v, %d of them in doubt", got, a.slots.doubtful)
	}
	for _, id := range got {
		if id > 15 {
			a.finishRequest(request{id: id, token: 1}, remoted.Answered)
		}
	}
	if more := a.takeAll(); len(more) != 1 || more[0] != 20 || a.slots.doubtful != 4 {
		t.Errorf("then %v, %d in doubt", more, a.slots.doubtful)
	}
}

func TestEachAgentIsAskedOnceAtATime(t *testing.T) {
	a := newTestProber(8)
	a.recordSignOfLife(1, time.Now())
	for token := uint32(1); token <= 3; token++ {
		a.queueKeepAlive(1, token)
		a.probeAgent(1)
	}
	if got := a.takeAll(); len(got) != 1 {
		t.Fatalf("asked %v", got)
	}
	a.queueKeepAlive(1, 4)
	a.probeAgent(1)
	if got := a.takeAll(); len(got) != 0 {
		t.Fatalf("asked again, %v", got)
	}
	a.finishRequest(request{id: 1, token: 3}, remoted.Answered)
	if got := a.takeAll(); len(got) != 1 { // the fourth keep-alive is owed
		t.Fatalf("then asked %v", got)
	}
	a.finishRequest(request{id: 1, token: 4}, remoted.Answered)
	if got := a.takeAll(); len(got) != 0 || a.inFlight != 0 {
		t.Errorf("in the end asked %v, %d out", got, a.inFlight)
	}
}

func TestASlowManagerIsAskedLess(t *testing.T) {
	a := newTestProber(128)
	for range 10 {
		a.countRequestOutcome(remoted.Busy, errors.New("no room"))
	}
	if a.window != minWindow {
		t.Errorf("the window is %d, want %d", a.window, minWindow)
	}
	for range 1000 {
		a.countRequestOutcome(remoted.Answered, nil)
	}
	if a.window != 128 {
		t.Errorf("afterwards it is %d, want 128", a.window)
	}
	a.setRequestLimits(2, time.Minute)
	if a.shrinkWindow(); a.window != 2 {
		t.Errorf("of two, %d are left", a.window)
	}
}

func TestWhatRemotedsEndCausedIsNotChecked(t *testing.T) {
	a := newTestProber(8)
	a.probeAgent(1)
	a.queueKeepAlive(2, 7)
	a.setSendingHalted(true)
	a.probeAgent(3)
	if got := a.takeAll(); len(got) != 0 {
		t.Fatalf("while remoted is away, %v are asked", got)
	}
	a.setSendingHalted(false)
	if got := a.takeAll(); len(got) != 1 || got[0] != 2 {
		t.Errorf("then %v, want the keep-alive", got)
	}
}

func TestAQueueIsFirstInFirstOut(t *testing.T) {
	var q agentQueue
	next := detector.AgentID(0)
	for id := detector.AgentID(0); id < 10_000; id++ {
		q.pushAgent(id)
		if id%3 != 0 {
			if got := q.popAgent(); got != next {
				t.Fatalf("%v, want %v", got, next)
			}
			next++
		}
	}
	if left := int(10_000 - next); q.len() != left || cap(q.ids) > 16_384 {
		t.Errorf("%d left, want %d; room for %d", q.len(), left, cap(q.ids))
	}
}

// remoted waits to the end for an answer that cannot come any more: the agent's
// connection ended when it had just been asked.
func TestAnAgentThatEndedWhileItWasAskedIsAskedBeside(t *testing.T) {
	a := newTestProber(8)
	a.recordSignOfLife(1, time.Now())
	a.queueKeepAlive(1, 1)
	a.takeAll()
	a.probeAgent(1)
	if got := a.takeAll(); len(got) != 0 {
		t.Fatalf("asked beside, %v, for no good reason", got)
	}
	a.handleClosedConn(1)
	if got := a.takeAll(); len(got) != 1 || a.inFlight != 2 {
		t.Fatalf("asked %v, %d out; want it asked once more", got, a.inFlight)
	}
	a.handleClosedConn(1)
	if got := a.takeAll(); len(got) != 0 {
		t.Fatalf("asked a third time, %v", got)
	}
	a.finishRequest(request{id: 1, token: 1}, remoted.NotConnected)
	a.finishRequest(request{id: 1, token: 1}, remoted.Silent)
	if a.takeAll(); a.inFlight > 1 {
		t.Errorf("in the end %d are out", a.inFlight)
	}
}

// An agent that moved to another node when it had just been asked, and is back before remoted
// has given that up, is asked as any other.
func TestAnAgentThatMovedWhileItWasAskedIsAskedWhenItIsBack(t *testing.T) {
	a := newTestProber(8)
	a.recordSignOfLife(1, time.Now())
	a.queueKeepAlive(1, 1)
	first := request{id: 1, token: 1}
	a.takeAll()
	a.forgetAgent(1)
	a.retainAgents(func(detector.AgentID) bool { return false })
	for token := uint32(2); token < 5; token++ {
		a.queueKeepAlive(1, token)
		if got := a.takeAll(); len(got) != 1 || a.inFlight != 2 {
			t.Fatalf("asked %v, %d out, with keep-alive %d", got, a.inFlight, token)
		}
		a.finishRequest(request{id: 1, token: token, visit: 1}, remoted.Answered)
	}
	a.finishRequest(first, remoted.Silent)
	if got := a.takeAll(); len(got) != 0 || a.inFlight != 0 {
		t.Errorf("asked %v, %d out, in the end", got, a.inFlight)
	}
	a.retainAgents(func(detector.AgentID) bool { return false })
	if len(a.probes) > 0 {
		t.Errorf("%d agents are left", len(a.probes))
	}
	for range 10 { // it moves to and fro
		a.queueKeepAlive(1, 9)
		a.takeAll()
		a.forgetAgent(1)
	}
	if a.inFlight > maxStale+1 {
		t.Errorf("%d requests to one agent are out", a.inFlight)
	}
}

// What waits to be sent to an agent that is given up meanwhile keeps no place from others;
// when there is reason to, it is asked again.
func TestAnAgentThatIsGivenUpWhileItWaitsIsNotAsked(t *testing.T) {
	a := newTestProber(1)
	for id := detector.AgentID(1); id <= 3; id++ {
		a.recordSignOfLife(id, time.Now())
		a.queueKeepAlive(id, 1)
	}
	if got := a.takeAll(); len(got) != 1 || got[0] != 1 {
		t.Fatalf("asked %v", got)
	}
	a.queueKeepAlive(1, 2)
	a.cancelQueuedProbes(1)
	a.cancelQueuedProbes(2)
	a.finishRequest(request{id: 1, token: 1}, remoted.Silent)
	if got := a.takeAll(); len(got) != 1 || got[0] != 3 {
		t.Fatalf("then asked %v", got)
	}
	a.cancelQueuedProbes(3)
	if a.probeReturnedAgent(2); a.inFlight != 1 {
		t.Errorf("%d are out", a.inFlight)
	}
	a.finishRequest(request{id: 3, token: 1}, remoted.Silent)
	if got := a.takeAll(); len(got) != 1 || got[0] != 2 {
		t.Errorf("in the end asked %v", got)
	}
}
