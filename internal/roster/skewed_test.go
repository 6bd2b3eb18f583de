package roster

import (
	"log/slog"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// The clocks of a cluster's nodes may differ by any time: which value is of the future is known by
// its order.
func TestAValueOfANodeOfTheClusterIsNotJudgedByItsClock(t *testing.T) {
	t.Parallel()
	now := time.Now().Unix()
	const latest = 1_700_000_000_000_500
	state := func(node string, order uint64, since int64) *event.AgentState {
		return &event.AgentState{AgentID: "001", Node: node, Epoch: 1, Sequence: 1, Status: event.Active, Since: since, ClusterOrder: order}
	}
	for name, c := range map[string]struct {
		own, stored *event.AgentState
		latest      uint64
		replaced    bool
	}{
		"later, by a clock that is ahead":          {state("node01", latest-90, now), state("node02", latest-10, now+7200), latest, false},
		"earlier, by a clock that is ahead":        {state("node01", latest-10, now), state("node02", latest-90, now+7200), latest, true},
		"later than all is stored":                 {state("node01", latest-10, now), state("node02", 1<<60, now), latest, true},
		"a little later than what is read":         {state("node01", latest-10, now), state("node02", latest+100, now), latest, false},
		"later, and it is not known what is later": {state("node01", 1, now), state("node02", latest, now+7200), 0, false},
		"of no cluster, by a clock that is ahead":  {state("node01", latest-10, now), state("node02", 0, now+7200), latest, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := &Roster{log: slog.New(slog.DiscardHandler), cfg: Config{Node: "node01", Latest: func() (uint64, uint64) { return 1, 1 }, LatestOrder: func() uint64 { return c.latest }}}
			value := &storedValue{header: formatOrder(c.stored, "-")}
			if outdated := r.isStateOutdated(c.own, value); outdated == c.replaced {
				t.Errorf("replaced: %v, want %v", !outdated, c.replaced)
			}
		})
	}
}
