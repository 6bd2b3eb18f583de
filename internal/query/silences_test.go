package query

import (
	"fmt"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/silence"
)

// newSilences returns silences, the first of which are over.
func newSilences(n, over int) silence.List {
	list := silence.List{Node: "node01", Active: n - over, Agents: 7, Silences: []silence.Shown{}}
	for i := range n {
		s := silence.Shown{Entry: silence.Entry{ID: fmt.Sprint(i + 1), Agent: "web-*", Comment: strings.Repeat("c", 400)}, State: silence.Active, Origin: "command"}
		if i < over {
			s.State = silence.Over
		}
		list.Silences = append(list.Silences, s)
	}
	return list
}

// Silences that are not over are listed page by page, and can be read only.
func TestSilencesAreListedPageByPage(t *testing.T) {
	f := newFleet(t, settings, 1)
	url, nc := embedded(t)
	s, _ := newService("node01", f, f.clock)
	s.cfg.Silences = func() silence.List { return newSilences(2600, 10) }
	serve(t, s, nc)
	c := newClient(t, url, 1)
	first := read[silencesAnswer](c, c.ask("pulse.node01.agents.silences", `{"limit":3}`))
	if first.Node != "node01" || first.Total != 2590 || first.Active != 2590 || first.Agents != 7 || len(first.Silences) != 3 || first.Next != "13" {
		t.Errorf("%+v", first)
	}
	seen := 0
	for after, pages := "", 0; ; pages++ {
		page := read[silencesAnswer](c, c.ask("pulse.agents.silences", fmt.Sprintf(`{"limit":1000,"after":%q}`, after)))
		seen += len(page.Silences)
		if after = page.Next; after == "" {
			if pages != 2 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
	}
	if seen != 2590 {
		t.Errorf("%d silences on all pages", seen)
	}
	for _, subject := range []string{"pulse.agents.silences", "pulse.node01.agents.silences"} {
		c.refused(c.ask(subject, `{"agent":"1","for":"1h","by":"a"}`), "400", "unknown field")
	}
}
