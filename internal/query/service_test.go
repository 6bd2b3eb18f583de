package query

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// page is what clients read of a list.
type page struct {
	Node   string
	Total  int
	Agents []view.Agent
	Next   string
}

func TestTheServiceIsFoundAndAnswersOnBothKindsOfServer(t *testing.T) {
	f := newFleet(t, settings, 3)
	f.connect(false, 1)
	inside, answering := embedded(t)
	outside := natsServer(t)
	for name, place := range map[string]struct {
		url string
		nc  *nats.Conn
	}{"embedded": {inside, answering}, "remote": {outside, connect(t, outside)}} {
		t.Run(name, func(t *testing.T) {
			s, log := newService("node01", f, f.clock)
			serve(t, s, place.nc)
			c := newClient(t, place.url, 1)
			for _, subject := range []string{"$SRV.PING", "$SRV.PING.pulse", "$SRV.INFO", "$SRV.INFO.pulse", "$SRV.STATS", "$SRV.STATS.pulse"} {
				id := read[micro.ServiceIdentity](c, c.ask(subject, ""))
				if id.Name != "pulse" || id.Version != "1.2.3" || id.Metadata["node"] != "node01" {
					t.Errorf("%s: %+v", subject, id)
				}
			}
			info := read[micro.Info](c, c.ask("$SRV.INFO.pulse", ""))
			var subjects []string
			for _, e := range info.Endpoints {
				subjects = append(subjects, e.Subject)
				if e.QueueGroup != "" {
					t.Errorf("%s is answered by one of the queue group %q only", e.Subject, e.QueueGroup)
				}
			}
			slices.Sort(subjects)
			want := "pulse.agents.get pulse.agents.list pulse.agents.ping pulse.agents.silences pulse.node01.agents.get pulse.node01.agents.list " +
				"pulse.node01.agents.ping pulse.node01.agents.silences pulse.node01.status pulse.status"
			if got := strings.Join(subjects, " "); got != want {
				t.Errorf("endpoints %s, want %s", got, want)
			}
			for _, at := range []string{"pulse.", "pulse.node01."} {
				if got := read[page](c, c.ask(at+"agents.list", "")); got.Node != "node01" || got.Total != 3 || len(got.Agents) != 3 || got.Next != "" {
					t.Errorf("%+v", got)
				}
				if got := read[getAnswer](c, c.ask(at+"agents.get", `{"id":"001"}`)); got.Node != "node01" || got.Agent.Name != "host-1" || got.Agent.Status != "active" {
					t.Errorf("%+v", got)
				}
				if got := read[view.PingAnswer](c, c.ask(at+"agents.ping", `{"id":"001"}`)); got.Node != "node01" || got.ID != "001" || got.Name != "host-1" ||
					got.RTT < 0 || got.RTT > 60_000 || time.Since(got.SentAt) > 5*time.Minute {
					t.Errorf("%+v", got)
				}
				if got := read[silencesAnswer](c, c.ask(at+"agents.silences", "")); got.Node != "node01" || got.Total != 1 || len(got.Silences) != 1 {
					t.Errorf("%+v", got)
				}
				if got := read[map[string]string](c, c.ask(at+"status", "{}")); got["node"] != "node01" {
					t.Errorf("%+v", got)
				}
			}
			c.refused(c.ask("pulse.node01.agents.get", `{"id":"009"}`), "404", "agent 009")
			for _, e := range read[micro.Stats](c, c.ask("$SRV.STATS.pulse", "")).Endpoints {
				asked, refused, last := 1, 0, ""
				if e.Subject == "pulse.node01.agents.get" {
					asked, refused, last = 2, 1, "404:agent 009 is not known to node node01"
				}
				if e.NumRequests != asked || e.NumErrors != refused || e.LastError != last || e.ProcessingTime <= 0 ||
					e.AverageProcessingTime != e.ProcessingTime/time.Duration(asked) {
					t.Errorf("%+v", e)
				}
			}
			if log.String() != "" {
				t.Errorf("logged: %s", log)
			}
		})
	}
}

func TestBadQuestionsAreRefusedByAllEndpoints(t *testing.T) {
	f := newFleet(t, settings, 1)
	url, nc := embedded(t)
	s, _ := newService("node01", f, f.clock)
	s.cfg.Nodes = func() view.NodeList { return view.NodeList{} }
	serve(t, s, nc)
	c := newClient(t, url, 1)
	for _, e := range endpoints {
		for body, want := range map[string]string{
			"{":                            "not JSON",
			"[]":                           "not a JSON object",
			`{"id":"001","nonsense":1}`:    "unknown field",
			strings.Repeat(" ", 5000):      "5000 bytes: at most 4096",
			`{"id":"` + "\xff" + `"}`:      "not UTF-8",
			`{"id":"001"} {"id":"002"}`:    "not JSON",
			`{"` + strings.Repeat("a", 99): "not JSON",
		} {
			if (e.name == "status" || e.name == "nodes") && strings.HasPrefix(body, `{"id":"001","n`) {
				want = "this request has none"
			}
			if e.name == "agents-list" && strings.HasPrefix(body, `{"id":"001","n`) {
				want = `unknown field "id": known are after, dormant, group, ids, ip, limit, name, node, os, status, version`
			}
			c.refused(c.ask("pulse."+e.subject, body), "400", want)
			c.refused(c.ask("pulse.node01."+e.subject, body), "400", want)
		}
	}
}

// Two nodes hear what is asked of all. Who has the better answer is first.
func TestOfTwoNodesTheOneThatKnowsIsFirst(t *testing.T) {
	url := natsServer(t)
	a, b := newFleet(t, settings, 3), newFleet(t, settings, 2)
	a.connect(false, 3)    // b does not know it
	b.connect(false, 1, 2) // a knows it, and never saw it
	for name, f := range map[string]*fleet{"a": a, "b": b} {
		s, _ := newService(name, f, f.clock)
		s.absentDelay, s.unknownDelay = 2*time.Second, 3*time.Second // on a busy machine, who is at once may be late
		serve(t, s, connect(t, url))
	}
	c := newClient(t, url, 2)
	for id, node := range map[string]string{"001": "b", "003": "a"} {
		body := `{"id":"` + id + `"}`
		if got := read[getAnswer](c, c.ask("pulse.agents.get", body)); got.Node != node || got.Agent.Status != "active" {
			t.Errorf("%s: %+v", id, got)
		}
		if got := read[view.PingAnswer](c, c.ask("pulse.agents.ping", body)); got.Node != node {
			t.Errorf("%s: %+v", id, got)
		}
	}
	both := c.gather("pulse.agents.get", `{"id":"003"}`, 2)
	if code(both[0]) != "" {
		t.Errorf("answers: %v", both)
	}
	c.refused(both[1], "404", "agent 003 is not known to node b")
	both = c.gather("pulse.agents.get", `{"id":"001"}`, 2)
	if read[getAnswer](c, both[1]).Agent.Status != "never_connected" {
		t.Errorf("answers: %v", both)
	}
	both = c.gather("pulse.agents.ping", `{"id":"001"}`, 2)
	c.refused(both[1], "409", "agent 001 is never_connected")
	for _, m := range c.gather("pulse.agents.get", `{"id":"004"}`, 2) {
		c.refused(m, "404", "agent 004 is not known to node")
	}
	var lists []page
	for _, m := range c.gather("pulse.agents.list", "", 2) {
		lists = append(lists, read[page](c, m))
	}
	slices.SortFunc(lists, func(x, y page) int { return cmp.Compare(x.Node, y.Node) })
	if lists[0].Node != "a" || lists[0].Total != 3 || lists[1].Node != "b" || lists[1].Total != 2 {
		t.Errorf("lists: %+v", lists)
	}
	for node := range map[string]bool{"a": true, "b": true} {
		if got := c.collect("pulse."+node+".status", "", 2, lull); len(got) != 1 {
			t.Errorf("%d nodes answered for %s", len(got), node)
		}
	}
}

// Nodes may be called as endpoints are.
func TestNoNodeNameIsMistakenForAnEndpoint(t *testing.T) {
	url := natsServer(t)
	names := []string{"agents", "status", "list", "$weird"}
	for _, name := range names {
		f := newFleet(t, settings, 1)
		s, log := newService(name, f, f.clock)
		serve(t, s, connect(t, url))
		t.Cleanup(func() {
			if log.String() != "" {
				t.Errorf("%s logged %s", name, log)
			}
		})
	}
	c := newClient(t, url, len(names))
	for _, subject := range []string{"agents.list", "status"} {
		c.gather("pulse."+subject, "", len(names))
		for _, name := range names {
			got := c.collect("pulse."+name+"."+subject, "", 2, lull)
			if len(got) != 1 || read[struct{ Node string }](c, got[0]).Node != name {
				t.Errorf("%s of %s: %v", subject, name, got)
			}
		}
	}
}

// With a reply subject of its choice, a client would make us publish there.
func TestOnlyInboxesAreAnswered(t *testing.T) {
	f := newFleet(t, settings, 1)
	url := natsServer(t)
	s, log := newService("node01", f, f.clock)
	s.cfg.Nodes = func() view.NodeList { return view.NodeList{} }
	serve(t, s, connect(t, url))
	c := newClient(t, url, 1)
	heard, err := c.nc.SubscribeSync(">")
	if err != nil {
		t.Fatal(err)
	}
	replies := []string{"", "wazuh.xdr.agent.001.status_change", "$KV.pulse_agents.001", "pulse.status"}
	const refused = "$JS.API.STREAM.PURGE.STATUS" // as a reply subject, by the server itself from 2.15.3 on
	subjects := []string{"$SRV.PING", "$SRV.PING.pulse", "$SRV.INFO", "$SRV.INFO.pulse", "$SRV.STATS", "$SRV.STATS.pulse"}
	for _, e := range endpoints {
		subjects = append(subjects, "pulse."+e.subject, "pulse.node01."+e.subject)
	}
	for _, subject := range subjects {
		for _, reply := range append(replies, refused) {
			if err := c.nc.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Data: []byte("{")}); err != nil {
				t.Fatal(err)
			}
		}
		c.ask(subject, "{") // by then, what was asked before it has been looked at
	}
	for asked := 0; asked < len(subjects)*(len(replies)+1); {
		m, err := heard.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(m.Subject, "_INBOX.") {
			if m.Reply != refused { // servers before 2.15.3 let it through
				asked++
			}
			if code(m) != "" || string(m.Data) != "{" {
				t.Errorf("answered on %s: %s", m.Subject, m.Data)
			}
		}
	}
	if n := strings.Count(log.String(), "its reply subject is no inbox"); n != 1 {
		t.Errorf("logged %d times: %s", n, log)
	}
}

// What a user may not hear is no reason not to answer what it may.
func TestWhereSomeSubscriptionsAreRefusedTheOthersAreAnswered(t *testing.T) {
	url := natsServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "xdr", Password: "x"}, {Username: "node", Password: "x", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Allow: []string{"pulse.node01.>"}},
			Publish:   &server.SubjectPermission{Deny: []string{">"}},
			Response:  &server.ResponsePermission{MaxMsgs: 1, Expires: time.Minute}}}}
	})
	f := newFleet(t, settings, 1)
	s, _ := newService("node01", f, f.clock)
	s.cfg.Nodes = func() view.NodeList { return view.NodeList{} }
	refusals := make(chan error, 100)
	serve(t, s, connect(t, url, nats.UserInfo("node", "x"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refusals <- err })))
	for range len(endpoints) + 9 {
		select {
		case <-refusals:
		case <-time.After(patience):
			t.Fatal("nothing is refused")
		}
	}
	c := &client{t, connect(t, url, nats.UserInfo("xdr", "x"))}
	read[map[string]string](c, c.ask("pulse.node01.status", ""))
	c.refused(c.ask("pulse.node01.agents.ping", `{"id":"001"}`), "409", "never_connected")
	if _, err := c.nc.Request("pulse.status", nil, patience); err != nats.ErrNoResponders {
		t.Errorf("asked where it may not hear: %v", err)
	}
}

func TestAServiceEndsWithItsConnectionAndServesTheNext(t *testing.T) {
	url := natsServer(t)
	f := newFleet(t, settings, 1)
	s, _ := newService("node01", f, f.clock)
	for range 3 {
		nc := connect(t, url, nats.NoReconnect())
		ended := make(chan error, 1)
		go func() { ended <- s.Serve(t.Context(), nc) }()
		c := newClient(t, url, 1)
		c.ask("pulse.status", "")
		nc.Close()
		select {
		case err := <-ended:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Fatal("it serves a closed connection")
		}
	}
	nc := connect(t, url)
	nc.Close()
	if err := s.Serve(t.Context(), nc); err == nil || !strings.Contains(err.Error(), "register the micro service pulse") {
		t.Errorf("on a closed connection: %v", err)
	}
}

func TestANodeThatStopsSaysSo(t *testing.T) {
	url := natsServer(t)
	f := newFleet(t, settings, 1)
	f.connect(true, 1)
	s, _ := newService("node01", f, f.clock)
	stop := serve(t, s, connect(t, url))
	c := newClient(t, url, 1)
	inbox, err := c.nc.SubscribeSync("_INBOX.mine")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.nc.PublishRequest("pulse.agents.ping", "_INBOX.mine", []byte(`{"id":"001","timeout_ms":10000}`)); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); f.sends(1) == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the agent is not asked")
		}
		_, _ = f.Agent(detector.AgentID(1)) // a round of the detector
	}
	stop()
	m, err := inbox.NextMsg(patience)
	if err != nil {
		t.Fatal(err)
	}
	c.refused(m, "503", "the node is stopping")
}
