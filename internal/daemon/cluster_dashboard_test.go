package daemon

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/cluster"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// announcedView is a view whose nodes have announced what the test says.
type announcedView struct {
	sharedView
	announced map[ownership.Verdict]bool
}

func (v *announcedView) Nodes() []ownership.Node        { return nil }
func (v *announcedView) SeenAt(string) time.Time        { return time.Now() }
func (v *announcedView) ConfirmNodeLost(string, uint64) {}
func (v *announcedView) IsLoaded() bool                 { return true }
func (v *announcedView) Status() cluster.Status {
	return cluster.Status{Loaded: true, Since: time.Now()}
}
func (v *announcedView) IsAnnounced(node string, beat uint64) bool {
	return v.announced[ownership.Verdict{Node: node, Beat: beat}]
}

// TestTheLossOfANodeIsShownOnce takes every way by which a node comes to know of a loss, and to announce it: the
// announcer that is lost itself may have announced it or not, and this node may have been started again.
func TestTheLossOfANodeIsShownOnce(t *testing.T) {
	lost := func(announce bool) ownership.Event {
		return ownership.Event{Kind: ownership.NodeLost, Node: "one", Beat: 7, Announce: announce}
	}
	for _, c := range []struct {
		name       string
		events     []ownership.Event
		announced  bool // by another node, before the last event
		published  bool // by the run before
		wantSent   int
		wantEvents int
	}{
		{name: "another node announces it", events: []ownership.Event{lost(false)}, announced: true, wantEvents: 1},
		{name: "this one does", events: []ownership.Event{lost(true)}, wantSent: 1, wantEvents: 1},
		{name: "this one does in the other's place", events: []ownership.Event{lost(false), lost(true)}, wantSent: 1, wantEvents: 1},
		{name: "the other had done it", events: []ownership.Event{lost(false), lost(true)}, announced: true, wantEvents: 1},
		{name: "it was announced before this one was to", events: []ownership.Event{lost(true)}, announced: true, wantEvents: 1},
		{name: "this one had done it before it ended", events: []ownership.Event{lost(true)}, published: true, wantEvents: 0},
		{name: "and the others know", events: []ownership.Event{lost(true)}, published: true, announced: true, wantEvents: 0},
		{name: "and another node is to do it now", events: []ownership.Event{lost(false)}, published: true, announced: true, wantEvents: 0},
		{name: "it is lost again", events: []ownership.Event{lost(false), {Kind: ownership.NodeBack, Node: "one"}, {Kind: ownership.NodeLost, Node: "one", Beat: 9, Announce: true}}, wantSent: 1, wantEvents: 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &announcedView{announced: map[ownership.Verdict]bool{}}
			shown, sent := history.New(), 0
			n := &Node{history: shown}
			part := &clusterPart{node: "two", role: ownership.Listener, shared: v, nodes: newNodeWatch(), isForwarding: func() bool { return true },
				statusEnd: func() uint64 { return 0 }, awaitForwarded: func(context.Context, uint64, time.Duration) {}}
			part.publish = func(r message.Record) {
				sent++
				n.showRecord(&r)
				r.Stored()
			}
			part.shown.Store(&jointFleet{node: "two", view: v, history: shown})
			if c.published {
				part.nodes.addPublished([]message.NodeAlert{{Node: "one", Beat: 7}})
			}
			for i, e := range c.events {
				if i == len(c.events)-1 && c.announced {
					v.announced[ownership.Verdict{Node: e.Node, Beat: e.Beat}] = true
				}
				part.handleNodeEvent(t.Context(), &e)
			}
			events := shown.LatestEvents(100)
			losses := slices.DeleteFunc(events, func(e history.Event) bool { return e.Kind != history.NodeLost })
			if sent != c.wantSent || len(losses) != c.wantEvents {
				t.Errorf("%d published and %d shown, want %d and %d", sent, len(losses), c.wantSent, c.wantEvents)
			}
		})
	}
}
