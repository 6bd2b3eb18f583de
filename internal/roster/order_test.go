package roster

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
)

// By its order alone, a value is superseded by what it would be superseded by.
func TestTheOrderSaysWhichIsNewer(t *testing.T) {
	var states []event.AgentState
	for _, node := range []string{"a", "b"} {
		for _, status := range []event.Status{event.Active, event.Disconnected, event.Pending} {
			for _, seen := range []int64{0, 90, 110} {
				for _, order := range []uint64{0, 7, 8} {
					states = append(states, event.AgentState{AgentID: "001", Node: node, Epoch: 2, Sequence: uint64(len(states) + 1), Status: status, Since: 100, LastSeen: seen, ClusterOrder: order})
				}
			}
		}
	}
	for i := range states {
		old, form, err := parseOrder("001", formatOrder(&states[i], "form"))
		if err != nil || form != "form" {
			t.Fatal(err)
		}
		for j := range states {
			if got, want := states[j].Supersedes(old), states[j].Supersedes(&states[i]); got != want {
				t.Errorf("%+v after %q: %v, want %v", states[j], formatOrder(&states[i], "form"), got, want)
			}
		}
	}
}

func FuzzParseOrder(f *testing.F) {
	f.Add("node01 7 12345 disconnected 1716897331 Zm9ybQ")
	f.Add("a 1 1 active -5 x")
	f.Add("a 1 1 active 5 x 9007199254740993")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		s, form, err := parseOrder("001", text)
		if err != nil {
			return
		}
		if again, same, err := parseOrder("001", formatOrder(s, form)); err != nil || same != form || !cmp.Equal(s, again) {
			t.Errorf("%q: %+v, then %+v, %v", text, s, again, err)
		}
	})
}
