package ownership

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func (r *record) wantPlace(want Place) {
	r.t.Helper()
	if diff := cmp.Diff(want, r.Place(want.Agent), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		r.t.Error(diff)
	}
}

func (r *record) loseNode(by, node string, last uint64) {
	r.t.Helper()
	for range SilentBeats + 1 {
		r.beat(by, Beat{})
	}
	r.verdict(by, node, last)
}

func TestAnAgentIsPlacedWhereItIsOrWasLast(t *testing.T) {
	t.Parallel()
	addr := netip.MustParseAddr("10.0.0.1")
	r := newRecord(t)
	r.wantPlace(Place{Agent: 1})
	first := r.claim("node02", Claim{Agent: 1, Since: 10, Sign: 11, Addr: addr})
	r.wantPlace(Place{Agent: 1, Node: 1, Known: true, Since: 10, Sign: 11, Addr: addr})
	r.claim("node01", Claim{Agent: 1, Since: 20, Seen: first})
	r.wantPlace(Place{Agent: 1, Known: true, Since: 20})
	r.claim("node01", Claim{Agent: 1, Since: 30, Seen: first, Reason: Moved})
	r.claim("node02", Claim{Agent: 1, Since: 40, Sign: 35, Seen: first, Reason: Stopped})
	r.wantPlace(Place{Agent: 1, Node: 1, Known: true, Reason: Stopped, Since: 40, Sign: 35})
}

func TestAnAgentLostWithItsNodeIsPlacedOnThatNode(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	last := r.beat("node02", Beat{})
	r.claim("node02", Claim{Agent: 1, Since: 10, Sign: 11})
	r.beat("node01", Beat{})
	r.loseNode("node01", "node02", last)
	r.wantPlace(Place{Agent: 1, Node: 1, Known: true, NodeLost: true, Since: 10, Sign: 11})
	r.claim("node01", Claim{Agent: 1, Since: 50, From: r.order, Seen: r.order, Reason: Lost, With: "node02"})
	r.wantPlace(Place{Agent: 1, Node: 1, Known: true, NodeLost: true, Reason: Lost, Since: 50, Sign: 11})
	found := r.claim("node01", Claim{Agent: 1, Since: 60, From: r.order, Seen: r.order}) // there it turns up, and is lost
	r.beat("node01", Beat{})
	r.claim("node01", Claim{Agent: 1, Since: 70, Sign: 65, From: found, Seen: r.order, Reason: Lost})
	r.wantPlace(Place{Agent: 1, Known: true, Reason: Lost, Since: 70, Sign: 65})
}

func TestAPageOfPlacesHasEachAgentOnce(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	for id := range AgentID(2*chunkRows + 10) {
		r.claim("node02", Claim{Agent: id + 1})
		if id%3 == 0 {
			r.claim("node03", Claim{Agent: id + 1, Seen: r.order})
		}
	}
	var ids []AgentID
	for n, more := 0, true; more; n++ {
		var page []Place
		page, more = r.PagePlaces(nil, n)
		for _, p := range page {
			want := uint8(1)
			if p.Agent%3 == 1 {
				want = 2
			}
			if p.Node != want {
				t.Fatalf("agent %v is on node %d, want %d", p.Agent, p.Node, want)
			}
			ids = append(ids, p.Agent)
		}
	}
	slices.Sort(ids)
	if compact := slices.Compact(slices.Clone(ids)); len(compact) != len(ids) || len(ids) != 2*chunkRows+10 {
		t.Errorf("%d agents, %d different", len(ids), len(compact))
	}
}

func TestManyAgentsAreLocatedAsEachOfThem(t *testing.T) {
	t.Parallel()
	m := NewMember("node01", 1, nil)
	if got := m.Locate(nil, []AgentID{1}); len(got) != 1 || got[0] != (Place{Agent: 1}) {
		t.Errorf("%+v in an empty view", got)
	}
	var all []AgentID
	for id := AgentID(1); id <= 3000; id++ {
		all = append(all, id)
		for i, node := range []string{"node02", "node03"} {
			if i == 0 && id%3 == 0 || i == 1 && id%5 > 0 { // some are on none, and some on both
				continue
			}
			order := uint64(2*id) + uint64(i)
			if err := m.ApplyRecord(order, Key{Node: node, Kind: ClaimRecord, Agent: id}, Record{Kind: ClaimRecord, Stamp: Stamp{1, order}, Claim: Claim{Agent: id, Seen: order - 1}}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, p := range m.Locate(nil, all) {
		if want := m.State.Place(all[i]); p != want || p.Agent != all[i] || p.Known != (p.Agent%3 > 0 || p.Agent%5 == 0) {
			t.Fatalf("%+v, want %+v", p, want)
		}
	}
}
