package attach

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
)

var master5 = wazuhdb.ClusterRole{Node: "node01"}

// syncPeriod is the time between two rounds in which a worker sends its changed rows.
const syncPeriod = 10 * time.Second

// worker5 is a worker of a cluster of Wazuh 5, as far as its master has its rows. As recorded,
// what is sent is the row as the worker has it, but of an agent of Wazuh 4 that has only sent
// a keep-alive the master writes the time at which the round came.
type worker5 struct {
	changed map[int]map[string]any
	whole   map[int]bool // all of the row is sent
	down    bool         // no round comes
}

func newWorker5() *worker5 {
	return &worker5{changed: make(map[int]map[string]any), whole: make(map[int]bool)}
}

func (w *worker5) addChange(id int, columns map[string]any) {
	if w.changed[id] == nil {
		w.changed[id] = make(map[string]any)
	}
	maps.Copy(w.changed[id], columns)
	_, isKeepAlive := columns["last_keepalive"]
	if isOf5(detector.AgentID(id)) || !isKeepAlive || len(columns) > 1 {
		w.whole[id] = true
	}
}

// sendRows is a round.
func (w *worker5) sendRows(m *manager5) {
	if w.down {
		return
	}
	for id, columns := range w.changed {
		if !w.whole[id] {
			columns["last_keepalive"] = time.Now().Unix()
		}
		m.setRow(id, columns)
	}
	clear(w.changed)
	clear(w.whole)
}

// Each history of the rows of a real Wazuh 5.0 is played back as that of a worker, to Pulse on
// the master: nothing is lost that lives, though the master's remoted has a connection to no
// agent of the worker, and rows come late; what dies is found out all the same.
func TestAgentsOfAWorkerOfWazuh5AreWatchedByTheMastersRows(t *testing.T) {
	for i := range recordings5 {
		r := recordings5[i]
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			m := startManager5(t)
			m.role = master5
			synctest.Test(t, func(t *testing.T) { r.playAsWorker(t, m) })
		})
	}
}

func (r *recording) playAsWorker(t *testing.T, m *manager5) {
	base := time.Now().Truncate(time.Second).Add(time.Minute)
	at := func(sec float64) time.Time {
		return base.Add(time.Duration((sec - r.from) * float64(time.Second)))
	}
	m.startAt(at(r.from - 600))
	m.setRow(2001, nil)
	m.setRow(2005, nil)
	moves, next, w := readLines[rowMove](t, "testdata/wazuh5/"+r.name+"-rows.jsonl"), 0, newWorker5()
	addUntil := func(sec float64) {
		w.down = false
		for ; next < len(moves) && moves[next].At-recordingEpoch < sec; next++ {
			if mv := &moves[next]; mv.Down {
				w.down = true
			} else {
				w.addChange(mv.ID, mv.columns(at))
			}
		}
	}
	addUntil(r.from)
	w.sendRows(m)
	time.Sleep(time.Until(at(r.from)))
	b := attachTo5(t, m)
	defer b.stop()
	for _, id := range r.watchedAgents {
		b.agents.setState(id, remoted.NotConnected)
	}
	for now := r.from; now < r.until; now += syncPeriod.Seconds() {
		addUntil(now)
		w.sendRows(m)
		m.signOfLife(2001, "Wazuh v4.14.7", "active") // the master's own
		if int(now-r.from)%60 == 0 {
			m.signOfLife(2005, "v5.0.0", "active")
		}
		time.Sleep(time.Until(at(now + syncPeriod.Seconds())))
	}
	b.agents.setState(2001, remoted.NotConnected)
	b.reportClosedConn(2001)
	died := time.Now()
	time.Sleep(5 * time.Second)
	if got := b.lossOf(t, 2001); got.Reason != detector.ConnectionLost || got.Time.Sub(died) > 4*time.Second {
		t.Errorf("the master's own agent: %v after %v", got.Reason, got.Time.Sub(died))
	}
	b.checkNoLoss(t, 2005)
	r.checkRelayed(t, b, at)
}

// checkRelayed checks what was decided about the worker's agents.
func (r *recording) checkRelayed(t *testing.T, b *beside5, at func(float64) time.Time) {
	const bound = 60 + 10 + 10 + 60 + 10 // the throttle, a keep-alive, the margin, what is not seen of the worker, and a round
	told := make([]bool, len(r.deaths))
	for _, id := range r.watchedAgents {
		for _, d := range b.changesOf(id, time.Time{}) {
			if d.To != detector.Disconnected {
				continue
			}
			is, sec := false, d.Time.Sub(at(0)).Seconds()
			for i, dead := range r.deaths {
				if dead.id == id && sec >= dead.from-1 && sec < dead.until+15 {
					is, told[i] = true, true
					if delay := sec - dead.from; delay > bound || dead.by == "shutdown" && delay > 14 {
						t.Errorf("agent %v: %s is known after %.1f s", id, dead.by, delay)
					}
					t.Logf("agent %v: %s known after %.1f s (%v)", id, dead.by, sec-dead.from, d.Reason)
				}
			}
			if !is {
				t.Errorf("agent %v was not away, and is lost at %.1f: %v", id, sec, d.Reason)
			}
		}
		starts := 1
		for _, d := range r.deaths {
			if d.id == id && d.until != forever {
				starts++
			}
		}
		if n, most := b.agents.countRequests(id), 2*(starts+len(r.remotedDown)); isOf5(id) && n > 0 || n > most {
			t.Errorf("agent %v was sent %d requests, want %d at most: each is an error in remoted's log", id, n, most)
		}
		r.checkLastStatus(t, b, id)
	}
	for i, d := range r.deaths {
		if !told[i] && d.until-d.from > bound {
			t.Errorf("that agent %v went at %.1f was not found out", d.id, d.from)
		}
	}
}

// An agent that leaves the master for a worker is lost, as its connection has ended, and back as
// soon as its rows move: with no request, as the master's remoted does not have it. When it
// comes back it is asked again, and lost by its connection.
func TestAnAgentThatMovesToAWorkerOfWazuh5IsBack(t *testing.T) {
	m := startManager5(t)
	m.role = master5
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		m.startAt(time.Now().Add(-time.Hour))
		m.setRow(1031, nil)
		b := attachTo5(t, m)
		defer b.stop()
		here := func(n int) {
			for range n {
				m.signOfLife(1031, "Wazuh v4.14.7", "active")
				time.Sleep(10 * time.Second)
			}
		}
		here(30)
		b.checkNoLoss(t, 1031)
		b.agents.setState(1031, remoted.NotConnected)
		b.reportClosedConn(1031)
		moved := time.Now()
		time.Sleep(7 * time.Second)
		m.signOfLife(1031, "Wazuh v4.14.7", "pending")
		time.Sleep(10 * time.Second)
		here(1)
		asked := b.agents.countRequests(1031)
		here(60)
		if got := b.lossOf(t, 1031); got.Time.Sub(moved) > 4*time.Second {
			t.Errorf("lost after %v", got.Time.Sub(moved))
		}
		if got, _ := b.link.cfg.Fleet.Agent(1031); got.Status != detector.Active || got.Since < b.link.cfg.Clock.Now().Add(-10*time.Minute) {
			t.Errorf("it moves in the rows, and is %v", got.Status)
		}
		if n := b.agents.countRequests(1031); n > asked+3 {
			t.Errorf("it was sent %d requests while it was at the worker", n-asked)
		}
		b.agents.setState(1031, remoted.Answered)
		m.signOfLife(1031, "Wazuh v4.14.7", "pending")
		time.Sleep(10 * time.Second)
		b.agents.setState(1031, remoted.NotConnected)
		b.reportClosedConn(1031)
		died := time.Now()
		time.Sleep(5 * time.Second)
		if got := b.changesOf(1031, died); len(got) != 1 || got[0].Reason != detector.ConnectionLost {
			t.Errorf("%+v", got)
		}
	})
}

// A master without workers writes a loss as soon as a manager alone, once it has had the time
// to see that no row is relayed; with workers it waits, as the agent may have moved.
func TestALossIsWrittenLaterOnlyWhereWorkersAre(t *testing.T) {
	for _, workers := range []bool{false, true} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Parallel()
			m := startManager5(t)
			m.role = master5
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(time.Hour)
				m.startAt(time.Now().Add(-time.Hour))
				m.setRow(1031, nil)
				m.setRow(1024, nil)
				b := attachTo5(t, m)
				defer b.stop()
				for range 20 {
					m.signOfLife(1031, "Wazuh v4.14.7", "active")
					late := time.Duration(0)
					if workers {
						late = 8 * time.Second
					}
					m.setRow(1024, map[string]any{"version": "v5.0.0", "connection_status": "active", "last_keepalive": time.Now().Add(-late).Unix()})
					time.Sleep(10 * time.Second)
				}
				b.agents.setState(1031, remoted.NotConnected)
				b.reportClosedConn(1031)
				time.Sleep(4 * time.Second)
				if n := len(m.listWrites()); n != map[bool]int{true: 0, false: 1}[workers] {
					t.Errorf("%d losses written after 4 s", n)
				}
				time.Sleep(30 * time.Second)
				if n := len(m.listWrites()); n != 1 {
					t.Errorf("%d losses written: %q", n, m.listWrites())
				}
				if got, want := b.link.tracker.passive.timeout, map[bool]time.Duration{true: 140 * time.Second, false: 80 * time.Second}[workers]; got != want {
					t.Errorf("agents of Wazuh 5 are lost after %v, want %v", got, want)
				}
			})
		})
	}
}

// claims is what the nodes of a cluster share: agents that a worker's Pulse has claimed.
type claims struct {
	mu  sync.Mutex
	ids map[detector.AgentID]bool
}

func (c *claims) IsElsewhere(id detector.AgentID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ids[id]
}

func (c *claims) WasElsewhere(id detector.AgentID) bool { return c.IsElsewhere(id) }
func (c *claims) IsCurrent() bool                       { return true }
func (c *claims) IsNodeAlive(string) bool               { return false }

func (c *claims) endAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.ids)
}

// Where a worker's Pulse claims its agents, the master's does not watch them, asks nothing of
// them and waits no longer for its own. When that Pulse is gone, it watches their rows.
func TestAgentsThatAWorkerOfWazuh5ClaimsAreNotTheMasters(t *testing.T) {
	m := startManager5(t)
	view := &claims{ids: map[detector.AgentID]bool{1024: true, 1031: true}}
	m.role, m.view = master5, view
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour)
		m.startAt(time.Now().Add(-time.Hour))
		rounds := func(d time.Duration) {
			for at := time.Duration(0); at < d; at += syncPeriod {
				m.signOfLife(1031, "Wazuh v4.14.7", "active")
				m.signOfLife(2001, "Wazuh v4.14.7", "active")
				if at%time.Minute == 0 {
					m.signOfLife(2005, "v5.0.0", "active")
					m.setRow(1024, map[string]any{"version": "v5.0.0", "connection_status": "active", "last_keepalive": time.Now().Unix() - 8})
				}
				time.Sleep(syncPeriod)
			}
		}
		rounds(syncPeriod)
		b := attachTo5(t, m)
		defer b.stop()
		b.agents.setState(1031, remoted.NotConnected)
		rounds(10 * time.Minute)
		for _, id := range []detector.AgentID{1024, 1031} {
			if got := b.changesOf(id, time.Time{}); len(got) > 0 || b.agents.countRequests(id) > 0 {
				t.Errorf("of an agent of the worker, %v: %+v, %d requests", id, got, b.agents.countRequests(id))
			}
		}
		if got := b.link.tracker.passive.timeout; got != 80*time.Second {
			t.Errorf("the master's own agents are lost after %v", got)
		}
		view.endAll()
		rounds(10 * time.Minute)
		b.checkNoLoss(t, 1024, 1031, 2001, 2005)
		for _, id := range []detector.AgentID{1024, 1031, 2001, 2005} {
			if got, ok := b.link.cfg.Fleet.Agent(id); !ok || got.Status != detector.Active {
				t.Errorf("agent %v is %v", id, got.Status)
			}
		}
		if n := b.agents.countRequests(1031); n > 3 {
			t.Errorf("the worker's agent was sent %d requests", n)
		}
	})
}
