package detector

import (
	"testing"
	"time"
)

// newClusterNode returns a node of a cluster with 100 active agents.
func newClusterNode() (*Table, Instant) {
	table, now := newHundredAgents()
	set := table.set
	set.ReconnectGrace = 5 * time.Second
	table.SetSettings(set, now)
	return table, now
}

func TestWhatBecomesOfAgentsInACluster(t *testing.T) {
	const s, ms = time.Second, time.Millisecond
	for _, c := range []struct {
		name  string
		story []storyEvent
		want  []string
	}{
		{"61 agents are moved to another node at once", []storyEvent{{60 * s, 1, 61, crash}, {60*s + 300*ms, 1, 61, claimed}}, nil},
		{"they are claimed before their connections end", []storyEvent{{60 * s, 1, 61, hang}, {60 * s, 1, 61, claimed}, {61 * s, 1, 61, crash}}, nil},
		{"they are moved one by one, and back", repeatEvents(10*s, 20, storyEvent{60 * s, 1, 1, crash}, storyEvent{60*s + 300*ms, 1, 1, claimed},
			storyEvent{65 * s, 1, 1, crash}, storyEvent{65*s + 300*ms, 1, 1, back})[:4], []string{"1m5s: 1 × active by agent_moved of node 1, was active"}},
		{"an agent moves, and its old connection hangs", []storyEvent{{60 * s, 1, 1, hang}, {60*s + 300*ms, 1, 1, claimed}}, nil},
		{"61 agents hang, and are claimed while they are in doubt", []storyEvent{{60 * s, 1, 61, hang}, {75 * s, 1, 61, claimed}}, nil},
		{"an agent moves slower than the grace", []storyEvent{{60 * s, 1, 1, crash}, {90 * s, 1, 1, claimed}},
			[]string{"1m5s: 1 × disconnected by connection_lost"}},
		{"and comes back later", []storyEvent{{60 * s, 1, 1, crash}, {90 * s, 1, 1, claimed}, {3600 * s, 1, 1, back}},
			[]string{"1m5s: 1 × disconnected by connection_lost", "1h0m0s: 1 × active by agent_moved of node 1, was active"}},
		{"and comes back after it was lost there", []storyEvent{{60 * s, 1, 1, crash}, {90 * s, 1, 1, claimed}, {3600 * s, 1, 1, lostThere}, {3600 * s, 1, 1, back}},
			[]string{"1m5s: 1 × disconnected by connection_lost", "1h0m0s: 1 × active by reconnected"}},
		{"an agent dies while it moves: nobody claims it", []storyEvent{{60 * s, 1, 1, crash}},
			[]string{"1m5s: 1 × disconnected by connection_lost"}},
		{"two machines have the key, and one of them dies", []storyEvent{{60 * s, 1, 1, claimed}, {61 * s, 1, 1, wake}, {62 * s, 1, 1, claimed}, {63 * s, 1, 1, wake}, {64 * s, 1, 1, crash}},
			[]string{"1m9s: 1 × disconnected by connection_lost"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table, now := newClusterNode()
			end := c.story[len(c.story)-1].at + 90*s
			checkStory(t, runStory(table, now, c.story, end), c.want)
		})
	}
}

func TestAnOutageOfAgentsThatAreFoundElsewhereIsOver(t *testing.T) {
	table, now := newClusterNode()
	got := runStory(table, now, []storyEvent{{60 * time.Second, 1, 61, crash}, {90 * time.Second, 1, 61, claimed}}, 10*time.Minute)
	if len(got) < 2 || got[len(got)-1] != "1m30s: outage over: 61 of 100 lost, 61 closed, 0 silent, 61 back, 0 networks" {
		t.Errorf("%q", got)
	}
}

func TestWhileAgentsCannotBeReachedThoseFoundElsewhereHaveMoved(t *testing.T) {
	table, now := newClusterNode()
	table.ExtendGrace(now, time.Minute)
	got := runStory(table, now, []storyEvent{{time.Second, 1, 61, hang}, {time.Second, 1, 61, crash}, {45 * time.Second, 1, 61, claimed}}, 5*time.Minute)
	checkStory(t, got, nil)
}

func TestANewAgentOfAClusterIsWatchedFromItsFirstSecond(t *testing.T) {
	table, now := newClusterNode()
	table.AdmitMember(&Member{ID: 200, Name: "new", IP: "any"}, now)
	got := runStory(table, now, []storyEvent{{time.Second, 200, 200, back}, {5 * time.Second, 200, 200, crash}}, time.Minute)
	checkStory(t, got, []string{"1s: 1 × active by connected", "10s: 1 × disconnected by connection_lost"})
}

func TestAnAgentThatIsReleasedIsNoChange(t *testing.T) {
	table, now := newClusterNode()
	table.ReleaseMember(1, now)
	table.Apply([]Sighting{{At: now, ID: 2, Kind: SawElsewhere, Token: 3}, {At: now, ID: 2, Kind: SawClosed}})
	table.SetMembers(listMembers(3, 100), now)
	var moved []AgentID
	for _, d := range table.TakeDecisions() {
		if d.Verdict != MovedAway || d.From != Active {
			t.Errorf("decided %+v", d)
		}
		moved = append(moved, d.ID)
	}
	if len(moved) != 2 || table.Len() != 98 || table.Counts().ByStatus != [4]int{Active: 98} {
		t.Errorf("moved %v, %d agents, by status %v", moved, table.Len(), table.Counts().ByStatus)
	}
}

func listMembers(from, to AgentID) (list []Member) {
	for id := from; id <= to; id++ {
		list = append(list, Member{ID: id, Name: id.String(), IP: "any"})
	}
	return list
}
