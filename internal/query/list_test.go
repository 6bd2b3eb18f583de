package query

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// pages asks until there is no next one, and returns the agents' ids.
func (c *client) pages(filter string, limit, wantTotal int) (ids []string) {
	c.Helper()
	after := ""
	for {
		m := c.ask("pulse.node01.agents.list", fmt.Sprintf(`{%s"limit":%d%s}`, filter, limit, after))
		if max := c.nc.MaxPayload(); int64(len(m.Data)) > max {
			c.Fatalf("an answer of %d bytes where %d are taken", len(m.Data), max)
		}
		got := read[page](c, m)
		if got.Total != wantTotal || len(got.Agents) > limit {
			c.Fatalf("%d of %d agents, want %d of %d", len(got.Agents), got.Total, limit, wantTotal)
		}
		for _, a := range got.Agents {
			ids = append(ids, a.ID)
		}
		if got.Next == "" {
			return ids
		}
		if len(got.Agents) == 0 || got.Next != ids[len(ids)-1] {
			c.Fatalf("next %q after %v", got.Next, ids[max(0, len(ids)-3):])
		}
		after = `,"after":"` + got.Next + `"`
	}
}

// Slots are in another order than ids, and the fleet has several of the detector's pages.
func TestPagesAreInOrderOfTheIDsAndMissNobody(t *testing.T) {
	const agents = 2*detector.PageSize + 300
	f := newFleet(t, settings, agents)
	f.connect(false, 5, 5000, 8000)
	url := natsServer(t)
	s, _ := newService("node01", f, f.clock)
	serve(t, s, connect(t, url))
	c := newClient(t, url, 1)
	want := make([]string, agents)
	for i := range want {
		want[i] = detector.AgentID(i + 1).String()
	}
	for _, limit := range []int{1000, 997} {
		if got := c.pages("", limit, agents); !slices.Equal(got, want) {
			t.Errorf("by %d: %d agents, the first %v", limit, len(got), got[:min(5, len(got))])
		}
	}
	for filter, want := range map[string]string{
		`"status":"active",`: "005 5000 8000", `"status":"pending",`: "", `"name":"host-800",`: "800 8000 8001 8002 8003 8004 8005 8006 8007 8008 8009",
		`"name":"host-800?",`: "8000 8001 8002 8003 8004 8005 8006 8007 8008 8009", `"ids":["8001","002","8000"],`: "002 8000 8001",
		`"ids":["8001","002","8000"],"status":"active",`: "8000", `"ids":["9999"],`: "",
	} {
		ids := strings.Fields(want)
		for _, limit := range []int{1, 2, 1000} {
			if got := c.pages(filter, limit, len(ids)); !slices.Equal(got, ids) {
				t.Errorf("%s by %d: %v, want %v", filter, limit, got, ids)
			}
		}
	}
}

// A page ends where the server's largest message does.
func TestAListKeepsToWhatTheServerTakes(t *testing.T) {
	const agents = 100
	f := newFleet(t, settings, 0)
	members := make([]detector.Member, agents)
	for i := range members {
		members[i] = detector.Member{ID: detector.AgentID(i + 1), Name: strings.Repeat("\"", i), IP: "any"} // JSON needs two bytes for each
	}
	f.SetMembers(members)
	for _, limit := range []int32{500, 700, 4096} {
		url := natsServer(t, func(o *server.Options) { o.MaxPayload = limit })
		s, _ := newService("node01", f, f.clock)
		serve(t, s, connect(t, url))
		c := newClient(t, url, 1)
		if got := c.pages("", 1000, agents); len(got) != agents || !slices.IsSorted(got[:99]) {
			t.Errorf("at %d bytes: %d agents", limit, len(got))
		}
	}
}

func TestAnAnswerThatTheServerDoesNotTakeIsSaidToBeTooLarge(t *testing.T) {
	f := newFleet(t, settings, 0)
	f.SetMembers([]detector.Member{{ID: 1, Name: strings.Repeat("n", 1000), IP: "any"}, {ID: 2, Name: "db", IP: "any"}})
	url := natsServer(t, func(o *server.Options) { o.MaxPayload = 1000 })
	s, _ := newService("node01", f, f.clock)
	serve(t, s, connect(t, url))
	c := newClient(t, url, 1)
	for _, question := range []string{"list {}", `get {"id":"001"}`} {
		endpoint, body, _ := strings.Cut(question, " ")
		c.refused(c.ask("pulse.node01.agents."+endpoint, body), "503", "the NATS server takes 1000")
	}
	if got := read[page](c, c.ask("pulse.node01.agents.list", `{"after":"001"}`)); len(got.Agents) != 1 {
		t.Errorf("behind it: %+v", got)
	}
}
