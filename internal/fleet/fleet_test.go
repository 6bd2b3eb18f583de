package fleet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// list returns the agents that match a filter, in short.
func (s *scene) list(t *testing.T, f *view.Filter) (found []string) {
	t.Helper()
	total, all, err := view.ListAgents(t.Context(), s.Fleet, f, view.OrderByID(0), 1000)
	if err != nil || total != len(all) {
		t.Fatalf("%d of %d: %v", len(all), total, err)
	}
	for i := range all {
		found = append(found, s.describe(&all[i].Record))
	}
	return found
}

func (s *scene) describe(r *detector.Record) string {
	return strings.TrimSpace(fmt.Sprintf("%v %s %s %v %v", r.ID, r.Name, s.NodeName(r.Node), r.Status, r.Reason))
}

func TestTheFleetIsThatOfAllNodes(t *testing.T) {
	t.Parallel()
	s := newScene(t, 4) // node01 knows 1 to 4 from its client.keys, and of others what it has read
	s.come(1, 2, 3)
	s.see(detector.SawShutdown, 3)
	s.records.Claim("node01", 3, ownership.Stopped)
	s.records.Claim("node02", 4, ownership.Here)
	s.records.Claim("node02", 5, ownership.Here)
	s.records.Claim("node03", 6, ownership.Lost)
	s.records.Claim("node03", 7, ownership.Stopped)
	s.records.Claim("node02", 2, ownership.Here) // it has moved there
	want := []string{"001 host-00001 node01 active connected", "002 host-00002 node02 active", "003 host-00003 node01 disconnected agent_shutdown",
		"004 host-00004 node02 active", "005 host-00005 node02 active", "006 host-00006 node03 disconnected", "007 host-00007 node03 disconnected agent_shutdown"}
	got := s.list(t, &view.Filter{})
	for i, text := range got {
		got[i] = strings.ReplaceAll(text, "startup", "connected")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	s.updateCounts()
	if n := s.Counts(); n.ByStatus != [4]int{detector.Active: 4, detector.Disconnected: 3} {
		t.Errorf("%+v", n)
	}
}

func TestWhatThisNodeHasSeenLaterComesBeforeAClaim(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	s.come(1)
	s.records.Claim("node02", 1, ownership.Here)
	s.records.See(1) // after that
	if got := s.list(t, &view.Filter{}); !strings.Contains(got[0], "node01 active") {
		t.Error(got)
	}
}

func TestAgentsAreFilteredByNode(t *testing.T) {
	t.Parallel()
	s := newScene(t, 2)
	s.come(1)
	s.records.Claim("node02", 3, ownership.Here)
	s.records.Claim("edge-7", 4, ownership.Here)
	for pattern, want := range map[string][]string{"node01": {"001", "002"}, "node*": {"001", "002", "003"}, "edge-?": {"004"}, "other": nil, "": {"001", "002", "003", "004"}} {
		var got []string
		for _, text := range s.list(t, &view.Filter{Nodes: view.MatchNodes(s.Fleet, "node01", pattern)}) {
			got = append(got, text[:3])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", pattern, got, want)
		}
	}
}

func TestAnAgentOfAnotherNodeHasItsNameAddressAndSystem(t *testing.T) {
	t.Parallel()
	s := newScene(t, 0)
	s.SetSettings(Settings{DormantAfter: 30 * time.Second, GroupOf: func(id detector.AgentID, name string, _ netip.Addr, i detector.Info) int {
		if name == "host-00007" && i.OSName == "Ubuntu" {
			return 2
		}
		return 0
	}})
	s.records.Claim("node02", 7, ownership.Here)
	s.records.Claim("node02", 8, ownership.Lost)
	here, ok := s.Agent(7)
	if !ok || here.Name != "host-00007" || here.IP != "10.0.0.7" || detector.ReadInfo(here.Info).OSName != "Ubuntu" || here.Group != 2 || here.Seen || here.Dormant {
		t.Errorf("%+v", here)
	}
	if age := s.clock.Now().Sub(here.Since); age < 59*time.Second || age > 90*time.Second {
		t.Errorf("active for %v, want a minute", age)
	}
	lost, ok := s.Agent(8)
	if !ok || !lost.Seen || !lost.Dormant || lost.Status != detector.Disconnected {
		t.Errorf("%+v", lost)
	}
	if _, ok := s.Agent(9); ok {
		t.Error("nobody has agent 009")
	}
}

func TestAnAgentOfAnotherNodeIsNotPinged(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	s.come(1)
	s.records.Claim("node02", 2, ownership.Here)
	if _, err := s.Ping(context.Background(), 1); !errors.Is(err, detector.ErrUnanswered) {
		t.Error(err)
	}
	_, err := s.Ping(context.Background(), 2)
	if e, ok := errors.AsType[*ElsewhereError](err); !ok || e.Node != "node02" {
		t.Error(err)
	}
}

func TestAnAgentThatMovesWhileTheFleetIsReadIsReadOnce(t *testing.T) {
	t.Parallel()
	s := newScene(t, 3)
	s.come(1, 2)
	for id := ownership.AgentID(3); id < 10; id++ {
		s.records.Claim("node02", id, ownership.Here)
	}
	s.records.Between = func(page int) {
		if page == 0 { // the table has been read
			s.records.Claim("node02", 1, ownership.Here)
			s.setMembers(1, 5)
			s.come(5)
			s.setMembers(2, 5) // 001 has left the table
		}
	}
	if got := s.list(t, &view.Filter{}); len(got) != 9 || !strings.HasPrefix(got[4], "005 host-00005 node01 active") {
		t.Errorf("%q", got)
	}
}

func TestNumbersThatNoAgentHasAreNotShown(t *testing.T) {
	t.Parallel()
	s := newScene(t, 0)
	s.records.Claim("node02", 0, ownership.Here)
	s.records.Claim("node02", ownership.AgentID(detector.MaxAgentID)+1, ownership.Here)
	s.records.Claim("node02", 4_294_967_295, ownership.Here)
	if got := s.list(t, &view.Filter{}); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

func TestAgentsOfADuplicatedKeyAndThoseSeenCoarselyAreMarked(t *testing.T) {
	t.Parallel()
	s := newScene(t, 1)
	s.Duplicated = func(id detector.AgentID) bool { return id == 1 || id == 3 }
	s.Coarse = func(node string) bool { return node == "node02" }
	s.come(1)
	s.records.Claim("node02", 2, ownership.Here)
	s.records.Claim("node03", 3, ownership.Here)
	var got []string
	for id := detector.AgentID(1); id <= 3; id++ {
		r, _ := s.Agent(id)
		got = append(got, fmt.Sprint(r.Duplicated, r.Coarse))
	}
	if !slices.Equal(got, []string{"true false", "false true", "true false"}) {
		t.Errorf("%q", got)
	}
}

// Its Pulse is lost, and this node, the master's, has it in its table meanwhile.
func TestAnAgentSeenThroughTheManagersDatabaseIsOnItsNode(t *testing.T) {
	t.Parallel()
	s := newScene(t, 2)
	s.Coarse = func(node string) bool { return node == "node02" }
	s.see(detector.SawStartup, 1, 2)
	s.see(detector.SawKeepAlive, 1, 2)
	last := s.records.Beat("node02")
	s.records.Claim("node02", 1, ownership.Here)
	s.records.Claim("node01", 2, ownership.Here)
	s.records.Beat("node01")
	s.records.LoseNode("node02", last)
	for id, want := range map[detector.AgentID]string{1: "node02 active true true", 2: "node01 active false true"} {
		if r, _ := s.Agent(id); fmt.Sprint(s.NodeName(r.Node), " ", r.Status, " ", r.Coarse, " ", r.Seen) != want {
			t.Errorf("agent %v: %+v, want %s", id, r, want)
		}
	}
	if n := s.ListNodes(view.Node{Name: "node01"}, Beats{}, time.Now()); n[0].Coarse || !n[1].Coarse {
		t.Errorf("%+v", n)
	}
}

func TestNodesAreUpLostCutOffOrUnknown(t *testing.T) {
	t.Parallel()
	s := newScene(t, 3)
	s.come(1, 2)
	now := time.Now()
	started := now.Add(-time.Hour).UTC().Truncate(time.Second)
	self := view.Node{Name: "node01", Role: "master", Version: "1.2.3", Started: started}
	s.records.Beat("node01")
	last := s.records.Beat("node02")
	s.records.Claim("node02", 3, ownership.Here)
	s.records.LoseNode("node02", last)
	s.records.Beat("node03")
	describe := func(cutOff bool) (list []string) {
		for _, n := range s.ListNodes(self, Beats{Period: 4 * time.Second, Last: now.Add(-11 * time.Second), CutOff: cutOff}, now) {
			list = append(list, fmt.Sprintf("%s %s %d %s self:%v beat:%v since:%v", n.Name, n.Role, n.Agents, n.State, n.Self, n.BeatAge, now.Sub(*n.Since).Round(time.Second) < time.Minute))
		}
		return list
	}
	want := []string{"node01 master 2 up self:true beat:11 since:false", "node02 worker 1 lost self:false beat:32 since:true", "node03 worker 0 up self:false beat:0 since:false"}
	if diff := cmp.Diff(want, describe(false)); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
	want[0], want[2] = strings.Replace(want[0], "up self:true beat:11 since:false", "cut_off self:true beat:11 since:true", 1), "node03 worker 0 unknown self:false beat:0 since:true"
	if diff := cmp.Diff(want, describe(true)); diff != "" {
		t.Errorf("(- want, + got):\n%s", diff)
	}
}
