package cluster

import (
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// Loss of a node: its last beat is followed by as many of the others, the verdict is stored
// and read; each beat may be late by the time of an answer.
func TestALostNodeIsKnownWithin35Seconds(t *testing.T) {
	t.Parallel()
	if most := (ownership.SilentBeats+1)*defaultTiming.beat + time.Second; most > 30*time.Second {
		t.Errorf("it takes up to %v", most)
	}
	if defaultTiming.cutOff <= 2*defaultTiming.beat {
		t.Errorf("cut off after %v, with a beat every %v", defaultTiming.cutOff, defaultTiming.beat)
	}
}

// forServers runs a test with one server, and with three that have replicas.
func forServers(t *testing.T, f func(t *testing.T, s *servers)) {
	t.Parallel()
	t.Run("one server", func(t *testing.T) { t.Parallel(); f(t, startServers(t, 1)) })
	t.Run("three servers", func(t *testing.T) { t.Parallel(); f(t, startServers(t, 3)) })
}

func TestEveryNodeKnowsWhereAnAgentIs(t *testing.T) {
	forServers(t, func(t *testing.T, s *servers) {
		a, b := s.join("node01"), s.join("node02")
		a.claim(1)
		b.awaitOwner(1, "node01")
		b.claim(1)
		a.awaitOwner(1, "node02")
		if o, ok := a.Elsewhere(1); !ok || o.Node != "node02" || o.Addr.String() != "10.0.0.1" {
			t.Errorf("%+v, %v", o, ok)
		}
		a.Depart(1, ownership.Moved, 3)
		b.Depart(1, ownership.Lost, 4)
		a.awaitOwner(1, "")
		late := s.join("node03")
		late.awaitNode("node01", false)
		awaitCondition(t, "the late node has read everything", func() bool { return late.Status().Loaded })
		if o, ok := late.Owner(1); !ok || o.Node != "node02" || o.Reason != ownership.Lost || o.Since != 4 {
			t.Errorf("%+v, %v\n%s", o, ok, late.log)
		}
	})
}

func TestANodeThatDiesIsLostAndAnnouncedByOne(t *testing.T) {
	forServers(t, func(t *testing.T, s *servers) {
		nodes := []*testNode{s.join("node01"), s.join("node02"), s.join("node03")}
		for _, n := range nodes {
			n.claim(7)
			n.awaitNode("node03", false)
		}
		nodes[2].claim(8)
		nodes[0].awaitOwner(8, "node03")
		nodes[2].close()
		nodes[0].awaitNode("node03", true)
		nodes[1].awaitNode("node03", true)
		announced := 0
		for _, n := range nodes[:2] {
			for _, e := range n.awaitEvents(ownership.NodeLost, 1) {
				if e.Node == "node03" && e.Announce { // on a busy machine others may seem lost for a moment
					announced++
				}
			}
		}
		if announced != 1 {
			t.Errorf("announced %d times", announced)
		}
		if o, ok := nodes[0].Owner(8); !ok || !o.Lost || o.Node != "node03" {
			t.Errorf("%+v, %v", o, ok)
		}
		again := s.joinWith("node03", nodes[2].key)
		if e := again.awaitEvents(ownership.Returned, 1); len(e) != 1 || e[0].Order == 0 {
			t.Errorf("%+v", e)
		}
		again.ConfirmReturn(again.found(ownership.Returned)[0].Order)
		nodes[0].awaitNode("node03", false)
		nodes[0].awaitEvents(ownership.NodeBack, 1)
	})
}

// A host that is stopped stops the clock of its node, too, which then knows by the server's.
func TestANodeWhoseHostWasStoppedKnowsThatItWasLost(t *testing.T) {
	t.Parallel()
	v, began := &View{timing: defaultTiming}, time.Now()
	v.start, v.lastGood, v.good = began.Add(-time.Hour), began.Add(-4*time.Second), began
	for i, c := range []struct {
		after time.Duration
		away  bool
	}{{0, false}, {4 * time.Second, false}, {10 * time.Second, false}, {310 * time.Second, true}} {
		v.noticeGap(began.Add(c.after).Format(time.RFC3339Nano))
		if v.away != c.away || c.away != v.AwaySince().Equal(v.lastGood) {
			t.Errorf("beat %d: away: %v since %v", i, v.away, v.AwaySince())
		}
	}
	v.noticeGap("yesterday")
	if v.AwaySince().IsZero() {
		t.Error("it is forgotten")
	}
}
