package daemon

import (
	"testing"
	"testing/synctest"
	"time"
)

// newAlertWorld returns three nodes that agree, whose messages and records take a while.
func newAlertWorld(t *testing.T) *modelWorld {
	w := newModelWorld(t, 0, 3, 3)
	t.Cleanup(func() {
		for _, n := range w.nodes {
			if n.node != nil {
				n.stop()
			}
		}
	})
	for _, n := range w.nodes {
		n.delay = 4 * modelStep
	}
	w.settle("the start", 20*time.Second)
	return w
}

// passUntil lets time pass until something holds.
func (w *modelWorld) passUntil(what string, atMost time.Duration, holds func() bool) {
	w.t.Helper()
	for end := time.Now().Add(atMost); !holds(); w.pass(modelStep) {
		if time.Now().After(end) {
			w.t.Fatalf("never: %s", what)
		}
	}
}

// awaitWriter waits until a node has an alert of a node on its disk.
func (w *modelWorld) awaitWriter(of *modelNode, back bool) (by *modelNode) {
	w.t.Helper()
	w.passUntil("an alert of "+of.name, time.Minute, func() bool {
		for _, n := range w.nodes {
			for _, a := range n.alerts {
				if a.Node == of.name && a.Back == back {
					by = n
				}
			}
		}
		return by != nil
	})
	return by
}

func (w *modelWorld) countAlerts(of *modelNode, back bool) (n int) {
	for a, list := range w.announced {
		if a.Node == of.name && a.Back == back {
			n += len(list)
		}
	}
	return n
}

func TestANodeThatStartsAgainAnnouncesNoLossTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAlertWorld(t)
		lost := w.nodes[0]
		w.killNode(lost, true)
		by := w.awaitWriter(lost, false)
		by.kill() // before it has recorded that for the others
		by.start()
		w.pass(time.Minute)
		if n := w.countAlerts(lost, false); n != 1 {
			t.Errorf("the loss of %s is announced %d times", lost.name, n)
		}
	})
}

func TestANodeThatStartsAgainAnnouncesItsReturnOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAlertWorld(t)
		lost := w.nodes[0]
		w.setLinked(lost, false)
		w.awaitWriter(lost, false)
		w.setLinked(lost, true)
		w.awaitWriter(lost, true)
		lost.kill() // before it has recorded that for the others
		lost.start()
		w.pass(time.Minute)
		if n := w.countAlerts(lost, true); n != 1 {
			t.Errorf("the return of %s is announced %d times", lost.name, n)
		}
	})
}

// A node that finds another one lost, and whose messages do not get through, is cut off then: the third
// one announces that loss, and no message about it waits on the disk of the first.
func TestALossIsAnnouncedByTheNodeWhoseMessagesGetThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAlertWorld(t)
		lost := w.nodes[0]
		w.nodes[1].stuck.Store(true)
		w.nodes[2].stuck.Store(true)
		w.killNode(lost, true)
		var first, other *modelNode
		w.passUntil("a node is to announce the loss", time.Minute, func() bool {
			for i, n := range w.nodes[1:] {
				if len(n.node.clustered.nodes.due) > 0 {
					first, other = n, w.nodes[2-i]
				}
			}
			return first != nil
		})
		other.stuck.Store(false)
		w.setLinked(first, false)
		if by := w.awaitWriter(lost, false); by != other {
			t.Errorf("the loss is announced by %s, which is cut off", by.name)
		}
		w.pass(10 * time.Second)
		first.stuck.Store(false)
		w.setLinked(first, true)
		w.pass(time.Minute)
		if n, due := w.countAlerts(lost, false), first.node.clustered.nodes.due; n != 1 || len(due) > 0 {
			t.Errorf("the loss is announced %d times, and %d are due", n, len(due))
		}
	})
}

// A loss that waits for the platform is announced as soon as that takes messages, by the same node.
func TestALossThatWaitsForThePlatformIsAnnouncedAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newAlertWorld(t)
		lost := w.nodes[0]
		for _, n := range w.nodes {
			n.stuck.Store(true)
		}
		w.killNode(lost, true)
		w.pass(40 * time.Second)
		if n := len(w.nodes[1].alerts) + len(w.nodes[2].alerts); n > 0 {
			t.Errorf("%d alerts wait on a disk", n)
		}
		for _, n := range w.nodes {
			n.stuck.Store(false)
		}
		w.pass(2 * modelBeat)
		if n := w.countAlerts(lost, false); n != 1 {
			t.Errorf("the loss of %s is announced %d times", lost.name, n)
		}
	})
}
