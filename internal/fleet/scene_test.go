package fleet

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
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
	table   table
	records *testsupport.Records
	clock   *detector.Clock
}

var settings = detector.Settings{Group: detector.Group{Interval: time.Hour, Timeout: 3 * time.Hour, MaxMissed: 3}, RetryInterval: time.Minute}

// newScene makes node01 have agents 1 to members in its table, of which none was ever there.
func newScene(t testing.TB, members int) *scene {
	s := &scene{table: table{detector.NewTable(settings)}, records: testsupport.NewRecords(t), clock: detector.NewClock()}
	s.setMembers(1, members)
	s.Fleet = New(Config{Table: s.table, Claims: s.records, Clock: s.clock, Identify: identify}, Settings{})
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
		s.records.See(ownership.AgentID(id))
		s.records.Claim("node01", ownership.AgentID(id), ownership.Here)
	}
}
