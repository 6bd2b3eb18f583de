package fleet

import (
	"context"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// table is a detector's table that the test changes by hand.
type table struct{ *detector.Table }

func (t table) Page(n int) ([]detector.Record, bool) {
	return t.Table.Page(make([]detector.Record, 0, detector.PageSize), n)
}

func (t table) Ping(context.Context, detector.AgentID) (detector.Answer, error) {
	return detector.Answer{}, detector.ErrUnanswered
}

// stream is what the nodes have stored, as node01 has read it.
type stream struct {
	mu      sync.Mutex
	t       testing.TB
	member  *ownership.Member
	order   uint64
	numbers map[string]uint64
	between func(page int) // is called before each page of places
}

func newStream(t testing.TB) *stream {
	return &stream{t: t, member: ownership.NewMember("node01", 1, nil), numbers: map[string]uint64{}}
}

func (s *stream) apply(key ownership.Key, r ownership.Record) uint64 {
	s.t.Helper()
	s.order++
	s.numbers[key.Node]++
	r.Kind, r.Stamp = key.Kind, ownership.Stamp{Epoch: 2, Number: s.numbers[key.Node]}
	if err := s.member.ApplyRecord(s.order, key, r); err != nil {
		s.t.Fatal(err)
	}
	return s.order
}

// claim stores that a node has an agent, seen there now, or that it has left.
func (s *stream) claim(node string, id ownership.AgentID, reason ownership.Reason) {
	s.t.Helper()
	s.apply(ownership.Key{Node: node, Kind: ownership.ClaimRecord, Agent: id}, ownership.Record{Claim: ownership.Claim{Agent: id, Reason: reason,
		Since: uint32(time.Now().Unix()) - 60, Sign: uint32(time.Now().Unix()) - 70, Seen: s.order, Addr: addressOf(id)}})
}

func (s *stream) beat(node string) uint64 {
	s.t.Helper()
	return s.apply(ownership.Key{Node: node, Kind: ownership.BeatRecord}, ownership.Record{Beat: ownership.Beat{Started: 1_700_000_000, Role: ownership.Worker, Version: "1.2.3"}})
}

func (s *stream) loseNode(node string, last uint64) {
	s.t.Helper()
	for range ownership.SilentBeats + 2 {
		s.beat("node01")
	}
	s.apply(ownership.Key{Node: "node01", Kind: ownership.VerdictRecord, Other: node}, ownership.Record{Verdict: ownership.Verdict{Node: node, Beat: last}})
}

func (s *stream) PagePlaces(list []ownership.Place, n int) ([]ownership.Place, bool) {
	if s.between != nil {
		s.between(n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member.State.PagePlaces(list, n)
}

func (s *stream) Locate(list []ownership.Place, ids []ownership.AgentID) []ownership.Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member.Locate(list, ids)
}

func (s *stream) Nodes() []ownership.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member.State.Nodes()
}

func addressOf(id ownership.AgentID) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(id >> 16), byte(id >> 8), byte(id)})
}

var info = unique.Make(detector.Info{OSName: "Ubuntu", OSVersion: "24.04", Version: "v4.9.2"})

// identify returns what a link knows of any agent.
func identify(id detector.AgentID) Identity { return Identity{nameOf(id), "any", info} }

func nameOf(id detector.AgentID) string { return names[id] }

// names are not made while they are looked up.
var names = func() []string {
	list := make([]string, 100_001)
	for i := range list {
		list[i] = fmt.Sprintf("host-%05d", i)
	}
	return list
}()

// scene is a fleet of which node01 has a table.
type scene struct {
	*Fleet
	table  table
	stream *stream
	clock  *detector.Clock
}

var settings = detector.Settings{Group: detector.Group{Interval: time.Hour, Timeout: 3 * time.Hour, MaxMissed: 3}, RetryInterval: time.Minute}

// newScene makes node01 have agents 1 to members in its table, of which none was ever there.
func newScene(t testing.TB, members int) *scene {
	s := &scene{table: table{detector.NewTable(settings)}, stream: newStream(t), clock: detector.NewClock()}
	s.setMembers(1, members)
	s.Fleet = New(Config{Table: s.table, Claims: s.stream, Clock: s.clock, Identify: identify}, Settings{})
	return s
}

func (s *scene) setMembers(from, to int) {
	list := make([]detector.Member, 0, to)
	for id := from; id <= to; id++ {
		list = append(list, detector.Member{ID: detector.AgentID(id), Name: names[id], IP: "any"})
	}
	s.table.SetMembers(list, s.clock.Now())
}

// see reports sightings of agents at node01.
func (s *scene) see(kind detector.Kind, ids ...detector.AgentID) {
	var seen []detector.Sighting
	for _, id := range ids {
		seen = append(seen, detector.Sighting{At: s.clock.Now(), ID: id, Kind: kind, Addr: addressOf(ownership.AgentID(id))})
	}
	s.table.Apply(seen)
	s.table.TakeDecisions()
}

// come makes agents active at node01, which claims them.
func (s *scene) come(ids ...detector.AgentID) {
	s.see(detector.SawStartup, ids...)
	s.see(detector.SawKeepAlive, ids...)
	for _, id := range ids {
		s.stream.member.RecordSighting(&ownership.Sighting{Agent: ownership.AgentID(id), Arrived: true})
		s.stream.claim("node01", ownership.AgentID(id), ownership.Here)
	}
}
