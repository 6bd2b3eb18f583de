package roster

import (
	"encoding/json"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
)

func TestOnlyWhatAnEarlierRunOfThisNodeHasLeftActiveIsTaken(t *testing.T) {
	t.Parallel()
	clear := func(s event.AgentState) storedValue {
		s.Status = event.Active
		data, err := json.Marshal(&s)
		if err != nil {
			t.Fatal(err)
		}
		return storedValue{data: data}
	}
	r := &Roster{cfg: Config{Node: "node01", Latest: func() (uint64, uint64) { return 10, 5 }}}
	for name, c := range map[string]struct {
		value storedValue
		want  bool
	}{
		"of an earlier run":     {storedValue{header: "node01 9 7 active 1700000000 -"}, true},
		"in a cluster":          {storedValue{header: "node01 9 7 active 1700000000 - 12"}, true},
		"of this run":           {storedValue{header: "node01 10 2 active 1700000000 -"}, false},
		"of a run to come":      {storedValue{header: "node01 11 2 active 1700000000 -"}, false},
		"of another node":       {storedValue{header: "node02 9 7 active 1700000000 -"}, false},
		"disconnected":          {storedValue{header: "node01 9 7 disconnected 1700000000 -"}, false},
		"not understood":        {storedValue{header: "node01 9"}, false},
		"empty":                 {storedValue{}, false},
		"in the clear":          {clear(event.AgentState{AgentID: "001", Node: "node01", Epoch: 9, Since: 1700000000}), true},
		"of another agent":      {clear(event.AgentState{AgentID: "002", Node: "node01", Epoch: 9}), false},
		"moved to another node": {clear(event.AgentState{AgentID: "001", Node: "node01", Epoch: 9, ToNode: "node02"}), false},
	} {
		t.Run(name, func(t *testing.T) {
			s := r.parseLeft("001", &c.value)
			if (s != nil) != c.want || c.want && (s.AgentID != "001" || s.Since != 1700000000 || s.Status == event.Disconnected) {
				t.Errorf("%+v", s)
			}
		})
	}
	if s := r.parseLeft("001", nil); s != nil {
		t.Errorf("%+v", s)
	}
}
