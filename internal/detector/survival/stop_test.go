package survival

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
)

// TestAStoppedDaemonSuspectsItselfFirst stops the process for many times the
// timeout. Its agents give up their connections meanwhile, as real ones do, and
// come back when they can. None of them is called dead, and a real death
// afterwards is found as ever.
func TestAStoppedDaemonSuspectsItselfFirst(t *testing.T) {
	t.Parallel()
	const agents, stopped = 40, 5 * timeout
	s := newSite(t, agents)
	l := s.start(true)
	fleet := s.fleet(2 * time.Second)
	client, err := nats.Connect("nats://"+s.cfg.NATS.Listen, nats.PingInterval(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	said := make(chan *nats.Msg, 1<<16)
	if _, err := client.ChanSubscribe(event.Prefix(event.DefaultPrefix).StatusChanges(), said); err != nil {
		t.Fatal(err)
	}
	active := map[string]bool{}
	for len(active) < agents {
		if c := nextChange(t, said); c.CurrentStatus == event.Active {
			active[c.AgentID] = true
		}
	}

	l.signal(syscall.SIGSTOP)
	<-time.After(stopped)
	l.signal(syscall.SIGCONT)

	<-time.After(2 * timeout)
	if stats := fleet.Stats(); stats.Connected != agents || stats.Reconnects < agents {
		t.Errorf("agents afterwards: %+v, want all back after a reconnection", stats)
	}
	for len(said) > 0 {
		t.Errorf("said of an agent that lived: %+v", nextChange(t, said))
	}
	if err := fleet.Die("007", agentsim.Hang); err != nil {
		t.Fatal(err)
	}
	if c := nextChange(t, said); c.AgentID != "007" || c.CurrentStatus != event.Disconnected {
		t.Errorf("after a real death: %+v", c)
	}
	l.kill()
	if log := l.said.String(); !strings.Contains(log, "pulse itself was stopped") {
		t.Errorf("the log does not tell of the stop:\n%s", log)
	}
}

func nextChange(t *testing.T, said chan *nats.Msg) *event.StatusChange {
	t.Helper()
	select {
	case m := <-said:
		var body event.StatusChangeMessage
		if err := json.Unmarshal(m.Data, &body); err != nil {
			t.Fatal(err)
		}
		return &body.StatusChange
	case <-time.After(patience):
		t.Fatal("no status change")
		return nil
	}
}
