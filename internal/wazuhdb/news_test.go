package wazuhdb

import (
	"slices"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

func TestAgentsWithTheSameAreOneChange(t *testing.T) {
	got, err := parseNews("1a2,2a2,17A2,18d0:3,19a2:5,20n-100", 100)
	want := []Change{
		{Agents: []detector.AgentID{1, 2}, KeepAlive: 102, Status: StatusActive},
		{Agents: []detector.AgentID{17}, KeepAlive: 102, Status: StatusActive, Passive: true},
		{Agents: []detector.AgentID{18}, Status: StatusDisconnected, Code: 3},
		{Agents: []detector.AgentID{19}, KeepAlive: 102, Status: StatusActive, Code: 5},
		{Agents: []detector.AgentID{20}, Status: StatusNeverConnected},
	}
	if err != nil || !slices.EqualFunc(got, want, func(a, b Change) bool {
		return slices.Equal(a.Agents, b.Agents) && a.KeepAlive == b.KeepAlive && a.Status == b.Status && a.Code == b.Code && a.Passive == b.Passive
	}) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	for _, wrong := range []string{"1", "a2", "1a", "1?2", "0a2", "4294967296a2", "1a2:", "1a2:x", "1a2,,2a2", "1é2"} {
		if got, err := parseNews(wrong, 100); err == nil {
			t.Errorf("%q is %+v", wrong, got)
		}
	}
	if got, err := parseNews("", 100); err != nil || len(got) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzNews(f *testing.F) {
	f.Add("1a2,2A-3:4", int64(1700000000))
	f.Add("18d0:3,", int64(0))
	f.Fuzz(func(t *testing.T, text string, since int64) {
		all, err := parseNews(text, since)
		if err != nil {
			return
		}
		for _, c := range all {
			for _, id := range c.Agents {
				if id == 0 || id > detector.MaxAgentID || c.Status == "" || c.KeepAlive < 0 {
					t.Errorf("%q is %+v", text, c)
				}
			}
		}
	})
}
