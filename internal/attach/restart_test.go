package attach

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// A new remoted cannot pass a request on to an agent that is not back, and logs
// an error for each that is tried.
func TestAgentsAreAskedWhenTheyAreBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTestProber(8)
		for id := detector.AgentID(1); id <= 4; id++ {
			a.recordSignOfLife(id, time.Now())
		}
		a.queueKeepAlive(1, 7) // before it is known that remoted has ended
		time.Sleep(10 * time.Second)
		a.awaitAgentReturns(time.Now(), restartGrace)
		a.queueKeepAlive(2, 8)
		a.queueKeepAlive(3, 9)
		a.probeAgent(4)
		if got := a.takeAll(); len(got) != 0 {
			t.Fatalf("asked before they are back: %v", got)
		}
		time.Sleep(time.Second)
		a.recordSignOfLife(2, time.Now())
		if got := a.takeAll(); !slices.Equal(got, []detector.AgentID{2}) {
			t.Fatalf("when agent 2 is back, asked %v", got)
		}
		time.Sleep(restartGrace)
		a.queueHeldKeepAlives()
		got := a.takeAll()
		if slices.Sort(got); !slices.Equal(got, []detector.AgentID{1, 3}) {
			t.Errorf("after the time to come back, asked %v; only their keep-alives waited", got)
		}
		a.probeAgent(4)
		if got := a.takeAll(); !slices.Equal(got, []detector.AgentID{4}) {
			t.Errorf("then asked %v", got)
		}
	})
}
