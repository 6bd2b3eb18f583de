package testsupport

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// Records are what the nodes of a cluster have stored, as the node node01 has read it: a shared
// view without a server.
type Records struct {
	Between func(page int) // is called before each page of places; nil for nothing

	t       testing.TB
	mu      sync.Mutex
	member  *ownership.Member
	order   uint64
	numbers map[string]uint64
}

// NewRecords returns none.
func NewRecords(t testing.TB) *Records {
	return &Records{t: t, member: ownership.NewMember("node01", 1, nil), numbers: map[string]uint64{}}
}

func (s *Records) apply(key ownership.Key, r ownership.Record) uint64 {
	s.t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.order++
	s.numbers[key.Node]++
	r.Kind, r.Stamp = key.Kind, ownership.Stamp{Epoch: 2, Number: s.numbers[key.Node]}
	if key.Kind == ownership.ClaimRecord {
		r.Claim.Seen = s.order - 1
	}
	if err := s.member.ApplyRecord(s.order, key, r); err != nil {
		s.t.Fatal(err)
	}
	return s.order
}

// Claim stores that a node has an agent since a minute ago, or that it has left for a reason.
func (s *Records) Claim(node string, id ownership.AgentID, reason ownership.Reason) {
	s.t.Helper()
	s.apply(ownership.Key{Node: node, Kind: ownership.ClaimRecord, Agent: id}, ownership.Record{Claim: ownership.Claim{Agent: id, Reason: reason,
		Since: uint32(time.Now().Unix()) - 60, Sign: uint32(time.Now().Unix()) - 70,
		Addr: netip.AddrFrom4([4]byte{10, byte(id >> 16), byte(id >> 8), byte(id)})}})
}

// See records a sign of life of an agent on node01, which it has claimed.
func (s *Records) See(id ownership.AgentID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.member.RecordSighting(&ownership.Sighting{Agent: id})
}

// Beat stores a sign of life of a node, and returns its order.
func (s *Records) Beat(node string) uint64 {
	s.t.Helper()
	return s.apply(ownership.Key{Node: node, Kind: ownership.BeatRecord}, ownership.Record{Beat: ownership.Beat{Started: 1_700_000_000, Role: ownership.Worker, Version: "1.2.3"}})
}

// LoseNode makes a node lost, whose last beat has an order.
func (s *Records) LoseNode(node string, last uint64) {
	s.t.Helper()
	for range ownership.SilentBeats + 2 {
		s.Beat("node01")
	}
	s.apply(ownership.Key{Node: "node01", Kind: ownership.VerdictRecord, Other: node}, ownership.Record{Verdict: ownership.Verdict{Node: node, Beat: last}})
}

// PagePlaces is [ownership.State.PagePlaces].
func (s *Records) PagePlaces(list []ownership.Place, n int) ([]ownership.Place, bool) {
	if s.Between != nil {
		s.Between(n)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member.State.PagePlaces(list, n)
}

// Locate is [ownership.Member.Locate].
func (s *Records) Locate(list []ownership.Place, ids []ownership.AgentID) []ownership.Place {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member.Locate(list, ids)
}

// Elsewhere is [ownership.Member.Elsewhere].
func (s *Records) Elsewhere(id ownership.AgentID) (ownership.Owner, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member.Elsewhere(id)
}

// Nodes is [ownership.State.Nodes].
func (s *Records) Nodes() []ownership.Node {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.member.State.Nodes()
}
