package console

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/fleet"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// openCluster starts the console of node01, which has 3 of 8 agents, and 008 was never there.
// node02 has 004 and 005, and node03, which is lost, has 006 and 007.
func openCluster(t *testing.T) (*fixture, *testsupport.Records) {
	t.Helper()
	s, records := openFixture(t, 8, withGroups), testsupport.NewRecords(t)
	s.connectAgents(1, 3)
	for id, node := range map[ownership.AgentID]string{1: "node01", 2: "node01", 3: "node01", 4: "node02", 5: "node02", 6: "node03", 7: "node03"} {
		records.Claim(node, id, ownership.Here)
	}
	records.Beat("node01")
	last := records.Beat("node03")
	records.LoseNode("node03", last)
	records.Beat("node02")
	s.joinCluster(records)
	return s, records
}

// joinCluster starts the console of a node whose cluster has stored records.
func (s *fixture) joinCluster(records *testsupport.Records) {
	s.t.Helper()
	cfg := s.cfg
	all := fleet.New(fleet.Config{Table: s.detector, Claims: records, Clock: s.clock, Identify: func(id detector.AgentID) fleet.Identity {
		return fleet.Identity{Name: fmt.Sprintf("host-%03d", id), IP: "any"}
	}}, fleet.Settings{})
	cfg.Fleet = all
	ctx, stop := context.WithCancel(context.Background())
	counted := make(chan struct{})
	go func() { defer close(counted); all.Run(ctx) }()
	s.t.Cleanup(func() { stop(); <-counted })
	cfg.Nodes = func() view.NodeList {
		now := time.Now()
		self := view.Node{Name: "node01", Role: "master", Version: "1.2.3", Started: now.UTC()}
		return view.NodeList{Node: "node01", Cluster: true, Nodes: all.ListNodes(self, fleet.Beats{Period: 4 * time.Second, Last: now}, now)}
	}
	s.startServer(cfg, "127.0.0.1:0")
}

// A measurement, as that of one node: PULSE_LARGE=1 go test ./internal/console -run HundredThousand -v
func TestTheDashboardShowsAHundredThousandAgentsOfFiveNodes(t *testing.T) {
	if os.Getenv("PULSE_LARGE") == "" {
		t.Skip("a measurement: PULSE_LARGE=1 asks for it")
	}
	b := openBrowser(t)
	s, records := openFixture(t, 20_000), testsupport.NewRecords(t)
	s.connectAgents(1, 20_000)
	for id := ownership.AgentID(20_001); id <= 100_000; id++ {
		records.Claim(fmt.Sprintf("node%02d", 2+id%4), id, ownership.Here)
	}
	s.joinCluster(records)
	b.openPage(s.url + "/?by=node")
	b.waitUntil(isLive)
	t.Logf("100 000 agents of five nodes were drawn %s ms after the page's script began", b.evaluate("document.documentElement.dataset.drawn"))
	b.waitUntil(`document.querySelector("#counts .active b").innerText === "100,000"`)
	b.saveScreenshot("hundred-thousand-of-five-nodes")
	b.checkErrors(s)
}

func TestTheFleetOfAClusterIsListedFilteredAndAskedByNode(t *testing.T) {
	t.Parallel()
	s, _ := openCluster(t)
	for query, want := range map[string][]string{
		"":                             {"001 node01 active", "002 node01 active", "003 node01 active", "004 node02 active", "005 node02 active", "006 node03 active", "007 node03 active", "008 node01 never_connected"},
		"node=node02":                  {"004 node02 active", "005 node02 active"},
		"node=node0[23]&name=*6":       {"006 node03 active"},
		"node=node01&status=active":    {"001 node01 active", "002 node01 active", "003 node01 active"},
		"node=other":                   {},
		"network=10.0.0.0/24":          {"004 node02 active", "005 node02 active", "006 node03 active", "007 node03 active"},
		"group=servers&status=active":  {"001 node01 active", "004 node02 active", "007 node03 active"},
		"sort=-id&limit=2&node=node03": {"007 node03 active", "006 node03 active"},
	} {
		var page view.AgentPage
		s.getJSON("/api/v1/agents?"+query, &page)
		got := []string{}
		for _, a := range page.Agents {
			got = append(got, a.ID+" "+a.Node+" "+a.Status)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	s.expectProblem(http.StatusBadRequest, "node", http.MethodGet, "/api/v1/agents?node=[")
	s.expectProblem(http.StatusConflict, "the agent is on node node02, which alone can send it a keep-alive", http.MethodPost, "/api/v1/agents/004/ping", "Pulse-Request", "1")
	var nodes view.NodeList
	s.getJSON("/api/v1/nodes", &nodes)
	var got []string
	for _, n := range nodes.Nodes {
		got = append(got, fmt.Sprintf("%s %s %d %s", n.Name, n.Role, n.Agents, n.State))
	}
	if want := []string{"node01 master 3 up", "node02 worker 2 up", "node03 worker 2 lost"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestAnswersOfAClusterAreWhatTheDocumentPromises(t *testing.T) {
	t.Parallel()
	d := readDocument(t)
	s, _ := openCluster(t)
	for path, target := range map[string]string{"/api/v1/agents": "/api/v1/agents", "/api/v1/agents/{id}": "/api/v1/agents/004", "/api/v1/map": "/api/v1/map", "/api/v1/nodes": "/api/v1/nodes"} {
		answer, text := s.sendRequest(http.MethodGet, target)
		d.checkAnswer("GET", path, answer, text)
		if !strings.Contains(text, "node02") {
			t.Errorf("%s: %s", path, text)
		}
	}
	s.history.AddEvents(history.Event{ID: 4, Node: "node03", To: detector.Active, From: detector.Active, Reason: detector.AgentMoved})
	l := s.openEvents("7-1")
	l.nextEvent("hello")
	s.checkStream(d, l)
}

func TestAChangeAtAnotherNodeIsAmongAnAgentsMessages(t *testing.T) {
	t.Parallel()
	s, _ := openCluster(t)
	s.history.AddEvents(history.Event{ID: 4, Node: "node02", From: detector.Active, To: detector.Disconnected})
	var one AgentDetails
	s.getJSON("/api/v1/agents/004", &one)
	if len(one.Messages) != 1 || one.Messages[0].Text != "active → disconnected, at node node02" || one.Agent.Node != "node02" {
		t.Errorf("%+v", one)
	}
}

func TestTheDashboardShowsTheNodesOfACluster(t *testing.T) {
	b := openBrowser(t)
	s, records := openCluster(t)
	b.openPage(s.url + "/?by=node")
	b.waitUntil(isLive)
	b.waitUntil(`document.querySelectorAll("#node-rows tr").length === 3`)
	if text := b.evaluate(`document.getElementById("node-rows").innerText.replace(/\s+/g, " ")`); text != "node01 this one master 3 up node02 worker 2 up node03 worker 2 lost, silent 32 s" {
		t.Error(text)
	}
	if class := b.evaluate(`document.querySelector("[data-node-row=node03]").className`); class != "lost" {
		t.Error(class)
	}
	if text := b.evaluate(`document.getElementById("verdict").innerText`); text != "Node node03 lost" {
		t.Error(text)
	}
	b.saveScreenshot("nodes")
	b.runActions(chromedp.Click(chromedp.CSS("[data-node=node03]")))
	b.waitUntil(`document.getElementById("matched").innerText === "2 agents of 8 match" && location.search.includes("q=node:node03")`)
	b.runActions(chromedp.Click(chromedp.CSS("#view-list")))
	b.waitUntil(`document.querySelectorAll("#list tbody tr").length === 2`)
	if text := b.evaluate(`document.querySelector("#list tbody tr").innerText.replace(/\s+/g, " ")`); !strings.Contains(text, "node03") || !strings.Contains(text, "10.0.0.6") {
		t.Error(text)
	}
	b.runActions(chromedp.Click(chromedp.CSS("#list .link")))
	b.waitUntil(`document.querySelector("#agent p.ask")?.innerText === "Node node03 alone can send it a keep-alive, or hold back its alerts."`)
	records.Claim("node02", 6, ownership.Here) // it turns up there
	s.history.AddEvents(history.Event{ID: 6, Name: "host-006", IP: "10.0.0.6", Node: "node02", From: detector.Active, To: detector.Active, Reason: detector.AgentMoved})
	b.waitUntil(`document.getElementById("matched").innerText === "1 agent of 8 match"`)
	b.waitUntil(`document.querySelector("#changes li").innerText.includes("node02")`)
	b.waitUntil(`document.querySelector("[data-node-row=node02]").innerText.includes("3")`)
	b.checkErrors(s)
}

func TestWithoutAClusterTheDashboardShowsNoNodes(t *testing.T) {
	t.Parallel()
	s := openFixture(t, 1)
	for _, path := range []string{"/api/v1/agents", "/api/v1/map"} {
		if _, text := s.sendRequest(http.MethodGet, path); strings.Contains(text, `"nodes"`) || strings.Count(text, "node01") != 1 {
			t.Errorf("%s: %s", path, text)
		}
	}
	var nodes view.NodeList
	if s.getJSON("/api/v1/nodes", &nodes); nodes.Cluster || len(nodes.Nodes) != 1 || nodes.Nodes[0].Name != "node01" {
		t.Errorf("%+v", nodes)
	}
}
