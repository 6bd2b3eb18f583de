package ownership

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
)

// rounds is how many histories are played; ROUNDS sets another number.
func rounds(t *testing.T, usual int) int {
	if text := os.Getenv("ROUNDS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	return usual
}

// Nodes with other clocks, links that delay, lose and are cut, nodes that die and come
// back, a server that is away and a stream that is emptied or made anew: once all that
// has ended, every node knows where every agent is.
func TestAllNodesAgreeWithTheTruthWhateverHappened(t *testing.T) {
	t.Parallel()
	for seed := range rounds(t, 100) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, uint64(seed), 3+seed%5, 40)
			for range 4 {
				for range 60 {
					w.breakSomething()
					w.step()
				}
				w.heal()
				for range 110 {
					w.step()
				}
				w.checkViews()
				if t.Failed() {
					return
				}
			}
			w.checkAnnouncements()
		})
	}
}

// Agents change nodes one by one and all at once, with connections that end, and with
// connections whose end nobody notices: none of them is ever given up.
func TestAnAgentThatMovesIsNeverLost(t *testing.T) {
	t.Parallel()
	for seed := range rounds(t, 100) {
		w := newWorld(t, uint64(seed), 3+seed%5, 40)
		for range 300 {
			if n := w.nodes[w.r.IntN(len(w.nodes))]; w.now%100 == 50 {
				for _, a := range w.agents {
					w.moveAgent(a, n)
				}
			} else if w.now < 260 {
				w.moveAgent(w.agents[w.r.IntN(len(w.agents))], n)
			}
			w.step()
		}
		w.checkViews()
		if w.falseLosses > 0 || w.duplicates > 0 || len(w.announced) > 0 {
			t.Fatalf("seed %d: %d false losses, %d duplicates, %v", seed, w.falseLosses, w.duplicates, w.announced)
		}
	}
}

// breakSomething has something happen in one second of four.
func (w *world) breakSomething() {
	n := w.nodes[w.r.IntN(len(w.nodes))]
	a := w.agents[w.r.IntN(len(w.agents))]
	switch w.r.IntN(48) {
	case 0:
		n.disconnect()
	case 1, 2:
		n.connect()
	case 3:
		if n.m != nil && w.countUp() > 1 {
			n.crash()
		}
	case 4:
		if n.m == nil {
			n.start()
		}
	case 5:
		if w.r.IntN(3) == 0 {
			w.serverDown = true
			for _, n := range w.nodes {
				n.disconnect()
			}
		}
	case 6:
		w.serverDown = false
	case 7:
		if w.r.IntN(4) == 0 {
			w.removeRecords()
		}
	case 8: // a node's agents go to another one
		for _, a := range w.agents {
			if a.home == n {
				w.moveAgent(a, w.nodes[w.r.IntN(len(w.nodes))])
			}
		}
	case 9:
		a.alive = false
		w.leave(a)
	case 10, 11, 12:
		if !a.alive {
			a.alive, a.came = true, true
			a.home = n
		}
	case 13, 14, 15, 16, 17, 18:
		w.moveAgent(a, n)
	}
}

// removeRecords empties the stream, or makes it anew.
func (w *world) removeRecords() {
	w.removed = true
	if w.r.IntN(2) == 0 {
		w.stream.entries = nil
		clear(w.stream.latest)
		return
	}
	w.stream = simStream{latest: map[Key]uint64{}, made: w.stream.made + 1}
	for _, n := range w.nodes {
		n.disconnect()
	}
}

func (w *world) countUp() (n int) {
	for _, node := range w.nodes {
		if node.m != nil {
			n++
		}
	}
	return n
}

// heal ends what is broken, but for nodes that are down, whose agents go elsewhere.
func (w *world) heal() {
	w.serverDown = false
	var up []*simNode
	for _, n := range w.nodes {
		n.connect()
		if n.m != nil {
			up = append(up, n)
		}
	}
	for _, a := range w.agents {
		if a.alive && (a.home == nil || a.home.m == nil) {
			a.home, a.came = up[w.r.IntN(len(up))], true
		}
	}
}

func (w *world) checkViews() {
	for _, n := range w.nodes {
		if n.m == nil {
			continue
		}
		for _, a := range w.agents {
			o, ok := n.m.State.Owner(a.id)
			has := ok && o.Reason == Here && !o.Lost
			switch {
			case a.alive && (!has || o.Node != a.home.name):
				w.t.Errorf("at %d %s has agent %v at %+v, %v, and it is on %s", w.now, n.name, a.id, o, ok, a.home.name)
			case a.alive && a.told.lost && a.told.by.n.m != nil && !w.removed: // else that node died between the message and its record, or somebody removed that
				w.t.Errorf("at %d agent %v is on %s, and the last message, of %s at %d, has it lost with its node", w.now, a.id, a.home.name, a.told.by.n.name, a.told.by.now)
			case !a.alive && has:
				w.t.Errorf("at %d %s has agent %v at %+v, and it is dead", w.now, n.name, a.id, o)
			}
		}
		for _, seen := range n.m.State.Nodes() {
			for _, other := range w.nodes {
				if other.name == seen.Name && seen.Lost != (other.m == nil) {
					w.t.Errorf("at %d %s has %+v, which is up: %v, down since %d", w.now, n.name, seen, other.m != nil, other.down)
				}
			}
		}
	}
}

// checkAnnouncements wants each loss of a node announced once, unless who did so was cut off
// or died at about that time: then the loss may be announced twice.
func (w *world) checkAnnouncements() {
	for a, times := range w.announced {
		interrupted := slices.ContainsFunc(w.announcers[a], func(by moment) bool {
			return slices.ContainsFunc(w.failures, func(f moment) bool {
				return f.n == by.n && f.now >= by.now-2*SilentBeats*beatPeriod && f.now <= by.now+2*maxDelay
			})
		})
		if times != 1 && !interrupted && !w.removed {
			w.t.Errorf("the loss of %s after %d is announced %d times, by %+v", a.node, a.beat, times, w.announcers[a])
		}
	}
}
