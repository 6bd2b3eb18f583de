package daemon

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

func TestAnOutageGoesOnOverARestartAndItsCountsAddUp(t *testing.T) {
	t.Parallel()
	const agents, lost, backBefore = 30, 24, 4
	keysOf := func(first, last int) string {
		var b strings.Builder
		for id := first; id <= last; id++ {
			fmt.Fprintf(&b, "%03d host-%d any %016d\n", id, id, id)
		}
		return b.String()
	}
	cfg := testSettings(t)
	cfg.KeepAlive.OutageShare, cfg.KeepAlive.OutageHold, cfg.KeepAlive.Interval = 30, time.Minute, 2*time.Second
	writeKeys(t, cfg, keysOf(1, agents))

	first := startTestNode(t, cfg)
	fleet := first.startAgents(keysOf(1, agents))
	active := 0
	first.nextMessage("active fleet", func(m receivedMessage) bool {
		if m.Change != nil && m.Change.CurrentStatus == event.Active {
			active++
		}
		return active == agents
	})
	for id := 1; id <= lost; id++ {
		if err := fleet.Fail(fmt.Sprintf("%03d", id), agentsim.Kill); err != nil {
			t.Fatal(err)
		}
	}
	outage := false
	gone := map[string]bool{}
	first.nextMessage("outage of all that are lost", func(m receivedMessage) bool {
		outage = outage || m.Outage != nil
		if m.Change != nil && m.Change.CurrentStatus == event.Disconnected {
			gone[m.Change.AgentID] = true
		}
		return outage && len(gone) == lost
	})
	for id := 1; id <= backBefore; id++ {
		if err := fleet.Revive(fmt.Sprintf("%03d", id)); err != nil {
			t.Fatal(err)
		}
		back := first.nextChange(fmt.Sprintf("%03d", id), event.Active)
		if back.OutagePart != "connections_closed" {
			t.Errorf("a return from the outage: %+v", back)
		}
	}
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	for _, m := range first.drainMessages() {
		if m.Recovered != nil {
			t.Errorf("said while stopping: %+v", m.Recovered)
		}
	}

	second := startTestNode(t, cfg)
	second.startAgents(keysOf(1, backBefore))
	second.startAgents(keysOf(lost+1, agents))
	answers := map[string]bool{}
	second.nextMessage("answers of all that live", func(m receivedMessage) bool {
		if m.Recovered != nil {
			t.Fatalf("said though nobody is back: %+v", m.Recovered)
		}
		if m.Event != nil && m.Event.EventType == event.KeepAliveAcknowledged {
			answers[m.Event.AgentID] = true
		}
		return len(answers) == backBefore+agents-lost
	})
	second.startAgents(keysOf(backBefore+1, lost))
	back := backBefore
	got := second.nextMessage("recovery", func(m receivedMessage) bool {
		if m.Change != nil && m.Change.PreviousStatus == event.Disconnected {
			back++
		}
		return m.Recovered != nil
	}).Recovered
	if got.AgentsLost != lost || got.ConnectionsClosed != lost || got.FellSilent != 0 || got.AgentsBack != back || back <= lost/2 {
		t.Errorf("recovered %+v, want %d lost, all by closed connections, and %d of them back", got, lost, back)
	}
	if got.AgentsWatched != agents {
		t.Errorf("%d were watched, want %d", got.AgentsWatched, agents)
	}
}
