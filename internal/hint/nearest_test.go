package hint_test

import (
	"testing"

	"github.com/wazuh-pulse/pulse/internal/hint"
)

func TestTheNameThatWasMostLikelyMeantIsFound(t *testing.T) {
	known := []string{"transition", "refused", "nats", "network", "node_lost", "node_back", "no"}
	for name, want := range map[string]string{
		"transitions": "transition", "TRANSITION": "transition", "refuse": "refused", "nat": "nats", "net": "network", "netw": "network",
		"node": "no", "x": "", "nix": "", "": "", "something else": "", "transitiontransitiontransitiontransition!": "",
	} {
		if got := hint.FindNearest(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
