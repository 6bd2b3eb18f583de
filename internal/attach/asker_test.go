package attach

import (
	"errors"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"golang.org/x/time/rate"
)

// idler is an asker that does not run, and may have so many requests out.
func idler(most int) *asker {
	a := &asker{kick: make(chan struct{}, 1), rate: rate.NewLimiter(askRate, askBurst), said: make(map[string]bool),
		asked: make(map[detector.AgentID]*asked), network: func(detector.AgentID) netip.Prefix { return netip.Prefix{} }, log: slog.New(new(logbook))}
	a.limit(most, time.Minute)
	return a
}

func (a *asker) all() (ids []detector.AgentID) {
	for {
		r, ok := a.next()
		if !ok {
			return ids
		}
		ids = append(ids, r.id)
	}
}

func TestSilentAgentsDoNotTakeAllPlaces(t *testing.T) {
	a := idler(8)
	for id := detector.AgentID(1); id <= 20; id++ {
		if id > 15 {
			a.seen(id, time.Now())
		}
		a.keepAlive(id, 1)
	}
	got := a.all()
	if len(got) != 8 || a.places.doubtful != 4 {
		t.Fatalf("asked %v, %d of them in doubt", got, a.places.doubtful)
	}
	for _, id := range got {
		if id > 15 {
			a.done(t.Context(), request{id: id, token: 1}, remoted.Answered)
		}
	}
	if more := a.all(); len(more) != 1 || more[0] != 20 || a.places.doubtful != 4 {
		t.Errorf("then %v, %d in doubt", more, a.places.doubtful)
	}
}

func TestEachAgentIsAskedOnceAtATime(t *testing.T) {
	a := idler(8)
	a.seen(1, time.Now())
	for token := uint32(1); token <= 3; token++ {
		a.keepAlive(1, token)
		a.check(1)
	}
	if got := a.all(); len(got) != 1 {
		t.Fatalf("asked %v", got)
	}
	a.keepAlive(1, 4)
	a.check(1)
	if got := a.all(); len(got) != 0 {
		t.Fatalf("asked again, %v", got)
	}
	a.done(t.Context(), request{id: 1, token: 3}, remoted.Answered)
	if got := a.all(); len(got) != 1 { // the fourth keep-alive is owed
		t.Fatalf("then asked %v", got)
	}
	a.done(t.Context(), request{id: 1, token: 4}, remoted.Answered)
	if got := a.all(); len(got) != 0 || a.out != 0 {
		t.Errorf("in the end asked %v, %d out", got, a.out)
	}
}

func TestASlowManagerIsAskedLess(t *testing.T) {
	a := idler(128)
	for range 10 {
		a.judge(remoted.Busy, errors.New("no room"))
	}
	if a.window != leastWindow {
		t.Errorf("the window is %d, want %d", a.window, leastWindow)
	}
	for range 1000 {
		a.judge(remoted.Answered, nil)
	}
	if a.window != 128 {
		t.Errorf("afterwards it is %d, want 128", a.window)
	}
	a.limit(2, time.Minute)
	if a.shrink(); a.window != 2 {
		t.Errorf("of two, %d are left", a.window)
	}
}

func TestWhatRemotedsEndCausedIsNotChecked(t *testing.T) {
	a := idler(8)
	a.check(1)
	a.keepAlive(2, 7)
	a.halt(true)
	a.check(3)
	if got := a.all(); len(got) != 0 {
		t.Fatalf("while remoted is away, %v are asked", got)
	}
	a.halt(false)
	if got := a.all(); len(got) != 1 || got[0] != 2 {
		t.Errorf("then %v, want the keep-alive", got)
	}
}

func TestAQueueIsFirstInFirstOut(t *testing.T) {
	var q queue
	next := detector.AgentID(0)
	for id := detector.AgentID(0); id < 10_000; id++ {
		q.push(id)
		if id%3 != 0 {
			if got := q.pop(); got != next {
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
	a := idler(8)
	a.seen(1, time.Now())
	a.keepAlive(1, 1)
	a.all()
	a.check(1)
	if got := a.all(); len(got) != 0 {
		t.Fatalf("asked beside, %v, for no good reason", got)
	}
	a.ended(1)
	if got := a.all(); len(got) != 1 || a.out != 2 {
		t.Fatalf("asked %v, %d out; want it asked once more", got, a.out)
	}
	a.ended(1)
	if got := a.all(); len(got) != 0 {
		t.Fatalf("asked a third time, %v", got)
	}
	a.done(t.Context(), request{id: 1, token: 1}, remoted.NotConnected)
	a.done(t.Context(), request{id: 1, token: 1}, remoted.Silent)
	if a.all(); a.out > 1 {
		t.Errorf("in the end %d are out", a.out)
	}
}

// What waits to be sent to an agent that is given up meanwhile keeps no place from others;
// when there is reason to, it is asked again.
func TestAnAgentThatIsGivenUpWhileItWaitsIsNotAsked(t *testing.T) {
	a := idler(1)
	for id := detector.AgentID(1); id <= 3; id++ {
		a.seen(id, time.Now())
		a.keepAlive(id, 1)
	}
	if got := a.all(); len(got) != 1 || got[0] != 1 {
		t.Fatalf("asked %v", got)
	}
	a.keepAlive(1, 2)
	a.callOff(1)
	a.callOff(2)
	a.done(t.Context(), request{id: 1, token: 1}, remoted.Silent)
	if got := a.all(); len(got) != 1 || got[0] != 3 {
		t.Fatalf("then asked %v", got)
	}
	a.callOff(3)
	if a.confirm(2); a.out != 1 {
		t.Errorf("%d are out", a.out)
	}
	a.done(t.Context(), request{id: 3, token: 1}, remoted.Silent)
	if got := a.all(); len(got) != 1 || got[0] != 2 {
		t.Errorf("in the end asked %v", got)
	}
}
