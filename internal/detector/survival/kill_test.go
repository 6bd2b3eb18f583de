package survival

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

// TestKilledAtAnyMoment kills the daemon 200 times, while agents die and come
// back. In some lives it is left alone until its history agrees with what
// really happened. At the end, nothing may be missing from the published history, and
// nothing invented: half of the agents were never touched.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{1, 2} { // two sites at once: it is mostly waiting
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			t.Parallel()
			killedAtAnyMoment(t, seed)
		})
	}
}

func killedAtAnyMoment(t *testing.T, seed uint64) {
	lives, rest := 100, 25
	if testing.Short() {
		lives, rest = 20, 10
	}
	const agents = 40
	s := newSite(t, agents)
	d := &drama{t: t, site: s, fleet: s.fleet(time.Minute), random: rand.New(rand.NewPCG(seed, 0)), away: map[string]period{}, past: map[string][]period{}}
	first := s.start(true)
	d.settle() // who dies before the manager has ever heard of it was never connected
	first.kill()
	for n := 1; n <= lives; n++ {
		if n%rest == 0 {
			l := s.start(true)
			d.settle()
			l.kill()
			continue
		}
		l := s.start(n%2 == 0) // every other is killed while it starts
		d.stir()
		<-time.After(time.Duration(d.random.IntN(250)) * time.Millisecond)
		l.kill()
	}
	s.start(true)
	h := d.settle()
	h.checkNumbers(t)
	h.checkChain(t)
	d.checkTruth(h)
	t.Logf("%d lives, %d epochs that published, %d deaths", lives, len(h.numbers), d.deaths)
}

// drama is what happens to the agents.
type drama struct {
	t      *testing.T
	site   *site
	fleet  *agentsim.Fleet
	random *rand.Rand
	away   map[string]period   // agents that are dead now
	past   map[string][]period // deaths that are over
	deaths int
}

type period struct {
	how      agentsim.Failure
	from, to time.Time
}

// stir lets one agent of the second half die, or come back.
func (d *drama) stir() {
	half := len(d.site.keys) / 2
	id := d.site.keys[half+d.random.IntN(half)].ID
	if p, ok := d.away[id]; ok {
		d.must(d.fleet.Revive(id))
		p.to = time.Now()
		d.past[id] = append(d.past[id], p)
		delete(d.away, id)
		return
	}
	if len(d.away) >= 6 {
		return // few enough that it is no outage
	}
	how := agentsim.Shutdown + agentsim.Failure(d.random.IntN(4))
	d.must(d.fleet.Fail(id, how))
	d.away[id] = period{how: how, from: time.Now()}
	d.deaths++
}

func (d *drama) must(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

// settle waits until what is published agrees with what is so.
func (d *drama) settle() *history {
	d.t.Helper()
	deadline := time.Now().Add(patience)
	for {
		h, err := d.site.read()
		if err == nil {
			err = d.disagreement(h)
		}
		if err == nil {
			return h
		}
		if time.Now().After(deadline) {
			d.t.Fatalf("after %v: %v", patience, err)
		}
		<-time.After(100 * time.Millisecond)
	}
}

func (d *drama) disagreement(h *history) error {
	for _, key := range d.site.keys {
		want := event.Active
		if _, dead := d.away[key.ID]; dead {
			want = event.Disconnected
		}
		if got := h.status(key.ID); got != want {
			return fmt.Errorf("agent %s has status %d, want %d", key.ID, got, want)
		}
	}
	return nil
}

// checkTruth wants a disconnection only where an agent was dead.
func (d *drama) checkTruth(h *history) {
	d.t.Helper()
	for _, key := range d.site.keys {
		for _, c := range h.changes[key.ID] {
			if c.CurrentStatus == event.Disconnected && !d.wasDead(key.ID, time.Unix(c.Timestamp, 0)) {
				d.t.Errorf("invented: %+v", c)
			}
		}
	}
	for _, key := range d.site.keys[:len(d.site.keys)/2] {
		if n := len(h.changes[key.ID]); n != 2 {
			d.t.Errorf("agent %s was never touched and has %d changes, want pending and active: %+v", key.ID, n, h.changes[key.ID])
		}
	}
}

// wasDead reports whether an agent was dead at a time that is given by the
// second, or so shortly before that the daemon may have learned of it then.
func (d *drama) wasDead(id string, at time.Time) bool {
	all := d.past[id]
	if p, ok := d.away[id]; ok {
		p.to = time.Now()
		all = append(all, p)
	}
	for _, p := range all {
		if at.After(p.from.Add(-2*time.Second)) && at.Before(p.to.Add(2*timeout)) {
			return true
		}
	}
	return false
}
