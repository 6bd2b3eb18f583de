package ownership

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

// record is a state's stream, in the words of the tests.
type record struct {
	*State
	t       testing.TB
	order   uint64
	numbers map[string]uint64
	events  []Event
}

func newRecord(t testing.TB) *record {
	r := &record{t: t, State: New("node01"), numbers: map[string]uint64{}}
	r.Emit = func(e Event) { r.events = append(r.events, e) }
	return r
}

func (r *record) apply(key Key, rec Record) error {
	r.order++
	r.numbers[key.Node]++
	rec.Kind, rec.Stamp = key.Kind, Stamp{1, r.numbers[key.Node]}
	return r.Apply(r.order, key, rec)
}

func (r *record) claim(node string, c Claim) uint64 {
	r.t.Helper()
	if err := r.apply(Key{Node: node, Kind: ClaimRecord, Agent: c.Agent}, Record{Claim: c}); err != nil {
		r.t.Fatal(err)
	}
	return r.order
}

func (r *record) beat(node string, b Beat) uint64 {
	r.t.Helper()
	if err := r.apply(Key{Node: node, Kind: BeatRecord}, Record{Beat: b}); err != nil {
		r.t.Fatal(err)
	}
	return r.order
}

func (r *record) verdict(by, node string, beat uint64) {
	r.t.Helper()
	if err := r.apply(Key{Node: by, Kind: VerdictRecord, Other: node}, Record{Verdict: Verdict{node, beat}}); err != nil {
		r.t.Fatal(err)
	}
}

func (r *record) wantOwner(id AgentID, node string) {
	r.t.Helper()
	if o, ok := r.Owner(id); !ok || o.Node != node || o.Reason != Here || o.Lost {
		r.t.Errorf("agent %v is at %+v, %v, want %s", id, o, ok, node)
	}
}

// takeEvents returns the events since the last call, of some kinds.
func (r *record) takeEvents(kinds ...EventKind) (list []Event) {
	for _, e := range r.events {
		if slices.Contains(kinds, e.Kind) {
			list = append(list, e)
		}
	}
	r.events = nil
	return list
}

func wantEvents(t testing.TB, got []Event, want ...Event) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

func TestTheLaterSignOfLifeHasTheAgentNotTheLaterRecord(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	first := r.claim("node02", Claim{Agent: 1})
	moved := r.claim("node03", Claim{Agent: 1, Seen: first})
	r.wantOwner(1, "node03")
	wantEvents(t, r.takeEvents(Claimed), Event{Kind: Claimed, Order: first, Agent: 1, Node: "node02"}, Event{Kind: Claimed, Order: moved, Agent: 1, Node: "node03", Other: "node02"})
	r.claim("node02", Claim{Agent: 1, Addr: netip.MustParseAddr("10.0.0.1")}) // which was cut off, and has seen nothing since
	r.wantOwner(1, "node03")
	back := r.claim("node02", Claim{Agent: 1, Seen: moved})
	r.wantOwner(1, "node02")
	wantEvents(t, r.takeEvents(Claimed, Departed), Event{Kind: Claimed, Order: back, Agent: 1, Node: "node02", Other: "node03"})
}

func TestAnAgentThatLeavesItsNodeIsOnTheOneThatStillClaimsIt(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	first := r.claim("node02", Claim{Agent: 1})
	r.claim("node03", Claim{Agent: 1, Seen: first})
	r.claim("node03", Claim{Agent: 1, Seen: first, Reason: Lost})
	r.wantOwner(1, "node02")
	r.takeEvents()
	gone := r.claim("node02", Claim{Agent: 1, Reason: Stopped})
	wantEvents(t, r.takeEvents(Claimed, Departed), Event{Kind: Departed, Order: gone, Agent: 1, Node: "node02", Reason: Stopped})
	if o, ok := r.Owner(1); !ok || o.Node != "node03" || o.Reason != Lost {
		t.Errorf("%+v, %v", o, ok)
	}
	r.claim("node02", Claim{Agent: 1, Reason: Removed})
	r.claim("node03", Claim{Agent: 1, Reason: Moved})
	if o, ok := r.Owner(1); ok {
		t.Errorf("%+v is left", o)
	}
	if _, claims := r.Bytes(); claims != 0 {
		t.Errorf("%d claims are left", claims)
	}
}

// A node that is dead keeps its claims until the others find out.
func TestAnAgentThatCameFromADeadNodeAndIsLostIsOnNone(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	dead := r.beat("node03", Beat{})
	old := r.claim("node03", Claim{Agent: 1})
	came := r.claim("node02", Claim{Agent: 1, From: old, Seen: old})
	r.beat("node02", Beat{})
	r.takeEvents()
	gone := r.claim("node02", Claim{Agent: 1, From: old, Seen: came, Reason: Lost})
	wantEvents(t, r.takeEvents(Claimed, Departed), Event{Kind: Departed, Order: gone, Agent: 1, Node: "node02", Reason: Lost})
	if o, ok := r.Owner(1); !ok || o.Node != "node02" || o.Reason != Lost {
		t.Errorf("%+v, %v", o, ok)
	}
	if o, ok := r.Elsewhere(1, 0); ok {
		t.Errorf("it is at %+v", o)
	}
	r.wantPlace(Place{Agent: 1, Node: 2, Known: true, Reason: Lost})
	r.loseNode("node01", "node03", dead)
	if o, ok := r.Owner(1); !ok || o.Node != "node02" || o.Reason != Lost {
		t.Errorf("%+v, %v, once the node is lost", o, ok)
	}
}

// A node that lives would have read of the other one, and has the agent if it says so.
func TestAnAgentIsOnTheNodeThatLivesAndStillClaimsIt(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	first := r.claim("node03", Claim{Agent: 1})
	came := r.claim("node02", Claim{Agent: 1, From: first, Seen: first})
	r.beat("node03", Beat{})
	r.claim("node02", Claim{Agent: 1, From: first, Seen: came, Reason: Lost})
	r.wantOwner(1, "node03")
}

func TestElsewhereIsWhereTheAgentWasSeenNotBefore(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.claim("node01", Claim{Agent: 1})
	r.claim("node02", Claim{Agent: 1, Seen: 1})
	if o, ok := r.Elsewhere(1, 1); !ok || o.Node != "node02" {
		t.Errorf("%+v, %v", o, ok)
	}
	if o, ok := r.Elsewhere(1, 2); ok {
		t.Errorf("seen here after it was claimed there: %+v", o)
	}
}

func TestTwoMachinesWithOneKeyAreFoundAndOneThatMovesIsNot(t *testing.T) {
	t.Parallel()
	here, there := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	r := newRecord(t)
	a := r.claim("node02", Claim{Agent: 1, Addr: here})
	b := r.claim("node03", Claim{Agent: 1, From: a, Seen: a, Addr: there})
	a = r.claim("node02", Claim{Agent: 1, Seen: b, Addr: here})
	wantEvents(t, r.takeEvents(Duplicated))
	b = r.claim("node03", Claim{Agent: 1, From: 1, Seen: a, Addr: there})
	wantEvents(t, r.takeEvents(Duplicated), Event{Kind: Duplicated, Order: b, Agent: 1, Node: "node03", Other: "node02", Addr: there, OtherAddr: here})
	for range 10 { // one machine comes anew each time
		a = r.claim("node02", Claim{Agent: 2, From: r.order, Seen: r.order})
		r.claim("node03", Claim{Agent: 2, From: a, Seen: a})
	}
	wantEvents(t, r.takeEvents(Duplicated))
}

func TestANodeIsLostAfterEnoughBeatsOfTheOthersAndOneAnnouncesIt(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	last := r.beat("node02", Beat{})
	r.beat("node03", Beat{})
	claim := r.claim("node02", Claim{Agent: 1})
	for range SilentBeats {
		r.beat("node01", Beat{})
		r.beat("node03", Beat{})
	}
	wantEvents(t, r.takeEvents(NodeSilent, NodeLost))
	silent := r.beat("node01", Beat{}) // the first one was before any other node had to answer it
	wantEvents(t, r.takeEvents(NodeSilent, NodeLost), Event{Kind: NodeSilent, Order: silent, Node: "node02", Beat: last})
	r.wantOwner(1, "node02")
	r.verdict("node01", "node02", last)
	r.verdict("node03", "node02", last)
	wantEvents(t, r.takeEvents(NodeLost), Event{Kind: NodeLost, Order: silent + 1, Node: "node02", Other: "node01", Beat: last, Announce: true})
	if o, ok := r.Owner(1); !ok || !o.Lost || o.Order != claim {
		t.Errorf("%+v, %v", o, ok)
	}
	back := r.beat("node02", Beat{})
	wantEvents(t, r.takeEvents(NodeBack), Event{Kind: NodeBack, Order: back, Node: "node02"})
	r.wantOwner(1, "node02")
}

func TestALossIsAnnouncedByTheNextIfItsAnnouncerIsLostToo(t *testing.T) {
	t.Parallel()
	for _, told := range []bool{false, true} {
		t.Run(fmt.Sprintf("it has said so: %v", told), func(t *testing.T) {
			r := newRecord(t)
			last := r.beat("node02", Beat{})
			r.beat("node01", Beat{})
			r.beat("node03", Beat{})
			r.verdict("node03", "node02", last)
			var announcer uint64
			for i := range 3 * SilentBeats {
				if i < SilentBeats {
					b := Beat{}
					if told && i == SilentBeats-1 {
						b.Told = []Verdict{{"node02", last}}
					}
					announcer = r.beat("node03", b)
				}
				r.beat("node01", Beat{})
			}
			for _, e := range r.takeEvents(NodeLost) {
				if e.Announce || e.Other != "node03" {
					t.Errorf("%+v", e)
				}
			}
			r.verdict("node01", "node03", announcer)
			for _, e := range r.takeEvents(NodeSilent) {
				if e.Node == "node02" {
					r.verdict("node01", "node02", last)
				}
			}
			var announced []string
			for _, e := range r.takeEvents(NodeLost) {
				if e.Announce {
					announced = append(announced, e.Node)
				}
			}
			if again := slices.Contains(announced, "node02"); again == told {
				t.Errorf("announced %v", announced)
			}
		})
	}
}

func TestAVerdictAboutANodeThatBeatsMeanwhileIsNone(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	last := r.beat("node02", Beat{})
	for range 2 * SilentBeats {
		r.verdict("node03", "node02", last)
		r.beat("node01", Beat{})
		last = r.beat("node02", Beat{})
	}
	wantEvents(t, r.takeEvents(NodeLost))
	own := r.beat("node01", Beat{})
	r.verdict("node03", "node01", own-5)
	if by, order := r.Return(); order != 0 {
		t.Errorf("found silent by %s at %d", by, order)
	}
	r.verdict("node04", "node01", own) // it is not known yet whether that is so
	if by, order := r.Return(); order != r.order || by != "node04" {
		t.Errorf("found silent by %s at %d", by, order)
	}
	r.beat("node01", Beat{Back: r.order})
	if by, order := r.Return(); order != 0 {
		t.Errorf("after its return: found silent by %s at %d", by, order)
	}
}

func TestWhatANodeCannotHaveWrittenIsRefused(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	r.claim("node02", Claim{Agent: 1})
	key := Key{Node: "node02", Kind: ClaimRecord, Agent: 1}
	for _, c := range []struct {
		order uint64
		rec   Record
		want  error
	}{
		{5, Record{Stamp: Stamp{1, 1}, Kind: ClaimRecord}, ErrReplayed},
		{5, Record{Stamp: Stamp{0, 9}, Kind: ClaimRecord}, ErrReplayed},
		{5, Record{Stamp: Stamp{1, 2}, Kind: BeatRecord}, ErrMisplaced},
		{5, Record{Stamp: Stamp{1, 2}, Kind: ClaimRecord, Claim: Claim{Seen: 5}}, ErrImpossible},
		{5, Record{Stamp: Stamp{1, 2}, Kind: ClaimRecord, Read: 5}, ErrImpossible},
	} {
		if err := r.Apply(c.order, key, c.rec); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v, want %v", c.rec, err, c.want)
		}
	}
	for i := range 2 * NodesMax {
		err := r.apply(Key{Node: fmt.Sprint("x", i), Kind: ClaimRecord, Agent: 1}, Record{})
		if (err != nil) != (i >= NodesMax-2) {
			t.Fatalf("node %d: %v", i+2, err)
		}
	}
	r.verdict("node02", "elsewhere", 0)
	if n := len(r.Nodes()); n != NodesMax {
		t.Errorf("%d nodes", n)
	}
}

// A node may claim agents by the million, or agents that do not exist: that costs the
// others memory up to a limit, and takes nothing from other nodes.
func TestANodeMayClaimSoManyAgentsAndNoMore(t *testing.T) {
	t.Parallel()
	r := newRecord(t)
	refused := 0
	for i := range ClaimsMax + 1000 {
		if err := r.apply(Key{Node: "node02", Kind: ClaimRecord, Agent: AgentID(i)}, Record{Claim: Claim{Agent: AgentID(i)}}); errors.Is(err, ErrTooMany) {
			refused++
		} else if err != nil {
			t.Fatal(err)
		}
		r.events = nil
	}
	if refused != 1000 {
		t.Errorf("%d refused", refused)
	}
	r.claim("node03", Claim{Agent: 1, Seen: r.order})
	r.wantOwner(1, "node03")
	if bytes, claims := r.Bytes(); bytes/claims >= 64 {
		t.Errorf("%d bytes for %d claims", bytes, claims)
	}
}

func TestAClaimTakesLessThan64BytesHoweverManyThereAre(t *testing.T) {
	for _, n := range []int{100_000, 1_000_000} {
		var before, after runtime.MemStats
		s := New("node01")
		runtime.GC()
		runtime.ReadMemStats(&before)
		for i := range n {
			key := Key{Node: "node02", Kind: ClaimRecord, Agent: AgentID(i*7 + 1)}
			if err := s.Apply(uint64(i+1), key, Record{Kind: ClaimRecord, Stamp: Stamp{1, uint64(i + 1)}}); err != nil {
				t.Fatal(err)
			}
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		if each := float64(after.HeapAlloc-before.HeapAlloc) / float64(n); each >= 64 {
			t.Errorf("%d claims take %.1f bytes each", n, each)
		}
		runtime.KeepAlive(s)
	}
}

func TestTheTableIsAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var have table
		type place struct {
			id   AgentID
			node uint8
		}
		want := map[place]uint32{}
		for range rapid.IntRange(1, 300).Draw(t, "n") {
			at := place{AgentID(rapid.IntRange(0, 90).Draw(t, "agent")), uint8(rapid.IntRange(0, 3).Draw(t, "node"))}
			_, there := want[at]
			switch {
			case rapid.Bool().Draw(t, "remove"):
				if have.remove(at.id, at.node) != there {
					t.Fatalf("remove %+v, which is there: %v", at, there)
				}
				delete(want, at)
			case !there:
				have.add(at.id, at.node).since = uint32(len(want))
				want[at] = uint32(len(want))
			}
			if have.used != len(want) {
				t.Fatalf("%d rows, want %d", have.used, len(want))
			}
		}
		for at, since := range want {
			if r := have.findOf(at.id, at.node); r == nil || r.since != since {
				t.Fatalf("%+v: %+v, want %d", at, r, since)
			}
		}
	})
}

func TestOfAnAgentThatChangesOftenTheLastClaimIsStored(t *testing.T) {
	t.Parallel()
	o := NewOwn()
	for i := range uint32(1000) {
		o.RecordSighting(&Sighting{Agent: 1, Since: i, Arrived: true})
		o.RecordDeparture(1, Lost, i)
	}
	o.RecordSighting(&Sighting{Agent: 2})
	claims := o.TakeQueued(nil, 10)
	if len(claims) != 2 || claims[0].Agent != 1 || claims[0].Reason != Lost || claims[0].Since != 999 || claims[1].Agent != 2 {
		t.Errorf("%+v", claims)
	}
	if here, queued := o.Counts(); here != 1 || queued != 0 {
		t.Errorf("%d here, %d queued", here, queued)
	}
}

func TestADisputedAgentIsClaimedAgainEverMoreSeldom(t *testing.T) {
	t.Parallel()
	o := NewOwn()
	o.RecordSighting(&Sighting{Agent: 1})
	o.TakeQueued(nil, 1)
	claims := 0
	for now := time.Duration(0); now < time.Hour; now += time.Second {
		if o.Dispute(1, now) {
			claims += len(o.TakeQueued(nil, 1))
		}
	}
	if claims < 60 || claims > 65 {
		t.Errorf("%d claims within an hour", claims)
	}
}

// apply 1M claims, as a node does that starts.
func BenchmarkApplyClaims(b *testing.B) {
	text := string(AppendClaim(nil, Stamp{1795887217, 1 << 40}, &Claim{Since: 1795887217, Sign: 1795887230, From: 1 << 30, Seen: 1 << 31, Addr: netip.MustParseAddr("10.11.12.13")}, 1<<31))
	s := New("node01")
	for i := 0; b.Loop(); i++ {
		key, ok := ParseKey("node02." + AgentID(i%1_000_000).String())
		r, err := ParseRecord(text)
		r.Stamp.Number = uint64(i + 1)
		if !ok || err != nil || s.Apply(uint64(i+1)+1<<32, key, r) != nil {
			b.Fatal(ok, err)
		}
	}
}
