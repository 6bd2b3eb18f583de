package console

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

func TestTheFleetIsListedWithEveryField(t *testing.T) {
	s := openFixture(t, 3)
	s.connectAgents(1, 1)
	var all view.AgentPage
	s.getJSON("/api/v1/agents", &all)
	if all.Node != "node01" || all.Total != 3 || len(all.Agents) != 3 || all.Next != "" {
		t.Fatalf("%+v", all)
	}
	if a := all.Agents[0]; a.ID != "001" || a.Name != "host-001" || a.IP != "10.1.0.11" || a.Network != "10.1.0.0/24" || a.Status != "active" ||
		a.Reason != "connected" || a.LastSeen == nil {
		t.Errorf("%+v", a)
	}
	if b := all.Agents[1]; b.ID != "002" || b.IP != "any" || b.Network != "" || b.Status != "never_connected" || b.LastSeen != nil || b.RTT != nil {
		t.Errorf("%+v", b)
	}
}

func withGroups(_ *Config, set *detector.Settings) {
	set.Groups = []detector.Group{set.Group, set.Group}
	set.GroupOf = func(id detector.AgentID, _ string, _ netip.Addr, _ detector.Info) int { return int(id) % 3 }
}

func TestTheFleetIsFiltered(t *testing.T) {
	s := openFixture(t, 205, withGroups)
	s.connectAgents(1, 3)
	s.connectAgents(201, 202)
	s.reportSightings(detector.SawShutdown, 2)
	s.waitFor("a shutdown", func() bool { return s.detector.Counts().ByStatus[detector.Disconnected] == 1 })
	for query, want := range map[string][]string{
		"status=active":                         {"001", "003", "201", "202"},
		"status=active,disconnected":            {"001", "002", "003", "201", "202"},
		"status=disconnected":                   {"002"},
		"status=pending":                        {},
		"status=never_connected&q=204":          {"204"},
		"q=HOST-003":                            {"003"},
		"q=10.1.2.":                             {"201", "202"},
		"name=host-*1&status=active":            {"001", "201"},
		"name=host-1":                           {},
		"address=10.1.0.1?":                     {"001", "002", "003"},
		"network=10.1.2.0/24":                   {"201", "202"},
		"network=10.0.0.0/8&status=active":      {"001", "003", "201", "202"},
		"group=servers&status=active":           {"001", "202"},
		"group=*&status=active":                 {"001", "202"},
		"group=desks&status=disconnected":       {"002"},
		"status=&q=&name=host-002&network=":     {"002"},
		"status=active&sort=-id":                {"202", "201", "003", "001"},
		"status=active&sort=name":               {"001", "003", "201", "202"},
		"sort=-ip&address=10.*":                 {"202", "201", "003", "002", "001"},
		"sort=status&address=10.*":              {"001", "003", "201", "202", "002"},
		"sort=-group&address=10.1.2.*":          {"202", "201"},
		"sort=since&address=10.1.2.*&limit=100": {"201", "202"},
	} {
		var all view.AgentPage
		s.getJSON("/api/v1/agents?"+query, &all)
		if diff := cmp.Diff(want, agentIDs(all.Agents)); diff != "" || all.Total != len(want) {
			t.Errorf("%s: %d, (- want, + got):\n%s", query, all.Total, diff)
		}
	}
}

// setInfos gives agents what is known of them, and waits until the detector has it.
func (s *fixture) setInfos(infos map[detector.AgentID]detector.Info) {
	s.t.Helper()
	for id, info := range infos {
		s.detector.SetInfo(id, info)
	}
	s.waitFor("what is known of the agents", func() bool {
		for id, info := range infos {
			if r, _ := s.detector.Agent(id); detector.ReadInfo(r.Info) != info {
				return false
			}
		}
		return true
	})
}

var knownInfos = map[detector.AgentID]detector.Info{
	1: {Groups: "default,web", OSName: "Ubuntu", OSVersion: "22.04", Version: "v4.9.2"},
	2: {Groups: "web", OSName: "Debian GNU/Linux", OSVersion: "12", Version: "v4.14.7"},
	3: {OSName: "Microsoft Windows Server 2022", OSVersion: "10.0.20348.169", Version: "v4.14.7"},
	4: {Groups: "servers-eu", Version: "v4.9"},
}

func TestTheFleetIsFilteredByWhatIsKnownOfAgents(t *testing.T) {
	s := openFixture(t, 6, withGroups)
	s.setInfos(knownInfos)
	for query, want := range map[string][]string{
		"group=web":                      {"001", "002"},
		"group=default":                  {"001"},
		"group=servers*":                 {"001", "004"}, // the settings have both in servers
		"group=*&network=":               {"001", "002", "004", "005"},
		"os=ubuntu":                      {"001"},
		"os=Ubuntu+22.*":                 {"001"},
		"os=linux":                       {"002"},
		"os=debian*":                     {"002"},
		"os=*":                           {"001", "002", "003"},
		"os=*server*":                    {"003"},
		"os=windows":                     {"003"},
		"version=4.9":                    {"001", "004"},
		"version=v4.9":                   {"001", "004"},
		"version=4.9.2":                  {"001"},
		"version=4.1":                    {},
		"version=4.1*":                   {"002", "003"},
		"version=v4.*.?":                 {"001", "002", "003"},
		"version=4.14.7&group=web&os=12": {"002"},
	} {
		var all view.AgentPage
		s.getJSON("/api/v1/agents?"+query, &all)
		if diff := cmp.Diff(want, agentIDs(all.Agents)); diff != "" || all.Total != len(want) {
			t.Errorf("%s: %d, (- want, + got):\n%s", query, all.Total, diff)
		}
	}
}

func TestAFilterThatCannotBeMeantIsRefused(t *testing.T) {
	s := openFixture(t, 1)
	for query, words := range map[string]string{
		"status=asleep": "want active", "name=[": "want a pattern", "group=[": "want a pattern", "os=[": "want a pattern", "version=[": "want a pattern",
		"agent_version=4": "known are [address cursor dormant group limit name network node os q sort status version]", "network=10.1.2.3": "want one such as",
		"network=10.1.2.3/24": "want one such as", "sort=luck": "want one of", "limit=0": "1 to 1000", "limit=1001": "1 to 1000", "limit=x": "1 to 1000",
		"cursor=%21": "the next of the page", "cursor=e30x": "the next of the page", "stauts=active": "unknown parameter", "q=a&q=b": "twice",
	} {
		s.expectProblem(http.StatusBadRequest, words, http.MethodGet, "/api/v1/agents?"+query)
	}
}

// A fleet of several of the detector's pages, in each order, page by page: every agent
// once, and in order.
func TestEveryPageOfALargeFleetIsListed(t *testing.T) {
	const n = detector.PageSize + 1500
	s := openFixture(t, n)
	s.connectAgents(1, 50)
	for _, sort := range []string{"id", "-id", "name", "-ip", "status", "-last_seen", "missed", "-rtt"} {
		var got []string
		query := url.Values{"limit": {"1000"}, "sort": {sort}}
		for {
			var page view.AgentPage
			s.getJSON("/api/v1/agents?"+query.Encode(), &page)
			if page.Total != n {
				t.Fatalf("%s: %d in all", sort, page.Total)
			}
			got = append(got, agentIDs(page.Agents)...)
			if page.Next == "" {
				break
			}
			query.Set("cursor", page.Next)
		}
		if len(got) != n {
			t.Fatalf("%s: %d agents, want %d", sort, len(got), n)
		}
		if sort == "-id" && !slices.IsSortedFunc(got, func(a, b string) int { return compareIDs(b, a) }) {
			t.Errorf("%s: not in order", sort)
		}
		slices.Sort(got)
		if len(slices.Compact(got)) != n {
			t.Errorf("%s: agents twice", sort)
		}
	}
}

func compareIDs(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

func TestTheMapHasTheWholeFleet(t *testing.T) {
	s := openFixture(t, 300, withGroups)
	s.connectAgents(1, 2)
	s.setInfos(map[detector.AgentID]detector.Info{1: knownInfos[1], 3: knownInfos[3], 300: knownInfos[1]})
	for _, encoding := range []string{"identity", "gzip"} {
		var m struct {
			Node   string   `json:"node"`
			Last   string   `json:"last_event_id"`
			Groups []string `json:"groups"`
			Agents [][]any  `json:"agents"`
			Infos  []any    `json:"infos"`
		}
		s.client.Transport = &http.Transport{DisableCompression: encoding == "identity"}
		s.getJSON("/api/v1/map", &m)
		s.client.CloseIdleConnections()
		if m.Node != "node01" || m.Last != "7-4" || len(m.Agents) != 300 || !slices.Equal(m.Groups, []string{"servers", "desks"}) {
			t.Errorf("%s: %+v", encoding, m)
		}
		if diff := cmp.Diff([]any{"001", "host-001", "10.1.0.11", 0.0, 0.0, 0.0}, m.Agents[0]); diff != "" {
			t.Errorf("%s", diff)
		}
		if got := fmt.Sprint(m.Agents[1:4], m.Agents[299]); got != "[[002 host-002 10.1.0.12 0 1 1] [003 host-003 any 3 -1 2] [004 host-004 any 3 0 1]] [300 host-300 any 3 -1 0]" {
			t.Error(got)
		}
		if diff := cmp.Diff([]any{map[string]any{"wazuh_groups": []any{"default", "web"}, "os_name": "Ubuntu", "os_version": "22.04", "agent_version": "v4.9.2"}, map[string]any{},
			map[string]any{"os_name": "Microsoft Windows Server 2022", "os_version": "10.0.20348.169", "agent_version": "v4.14.7"}}, m.Infos); diff != "" {
			t.Error(diff)
		}
	}
}

// Agents that nobody waits for any more are listed apart.
func TestTheDormantAreListedApart(t *testing.T) {
	t.Parallel()
	s := openFixture(t, 4, func(_ *Config, set *detector.Settings) { set.DormantAfter = time.Millisecond })
	s.connectAgents(1, 4)
	s.reportSightings(detector.SawShutdown, 1, 2)
	s.waitFor("the dormant", func() bool { return s.detector.Counts().Dormant == 2 })
	for query, want := range map[string][]string{
		"dormant=yes": {"001", "002"}, "dormant=no": {"003", "004"}, "status=disconnected": {"001", "002"}, "status=disconnected&dormant=no": {},
	} {
		var page view.AgentPage
		s.getJSON("/api/v1/agents?"+query, &page)
		got := []string{}
		for _, a := range page.Agents {
			got = append(got, a.ID)
			if a.Dormant != (a.Status == "disconnected") {
				t.Errorf("%s: %+v", query, a)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", query, got, want)
		}
	}
	s.expectProblem(http.StatusBadRequest, "want yes or no", http.MethodGet, "/api/v1/agents?dormant=maybe")
}
