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
	changes := &changes{said: make(chan *nats.Msg, 1<<16), seen: map[string]bool{}}
	if _, err := client.ChanSubscribe(event.Prefix(event.DefaultPrefix).StatusChanges(), changes.said); err != nil {
		t.Fatal(err)
	}
	active := map[string]bool{}
	for len(active) < agents {
		if c := changes.next(t); c.CurrentStatus == event.Active {
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
	for c := changes.waiting(t); c != nil; c = changes.waiting(t) {
		t.Errorf("said of an agent that lived: %+v", c)
	}
	if err := fleet.Fail("007", agentsim.Hang); err != nil {
		t.Fatal(err)
	}
	if c := changes.next(t); c.AgentID != "007" || c.CurrentStatus != event.Disconnected {
		t.Errorf("after a real death: %+v", c)
	}
	l.kill()
	if log := l.said.String(); !strings.Contains(log, "pulse itself was stopped") {
		t.Errorf("the log does not tell of the stop:\n%s", log)
	}
}

// changes are the status changes that a subscriber hears. One may come twice: a
// daemon that was stopped while it published has to publish again.
type changes struct {
	said chan *nats.Msg
	seen map[string]bool // by Nats-Msg-Id
}

// next waits for the next change.
func (c *changes) next(t *testing.T) *event.StatusChange {
	t.Helper()
	tooLong := time.After(patience)
	for {
		select {
		case m := <-c.said:
			if change := c.take(t, m); change != nil {
				return change
			}
		case <-tooLong:
			t.Fatal("no status change")
		}
	}
}

// waiting is the next change that has come already, or nil.
func (c *changes) waiting(t *testing.T) *event.StatusChange {
	t.Helper()
	for len(c.said) > 0 {
		if change := c.take(t, <-c.said); change != nil {
			return change
		}
	}
	return nil
}

// take is nil for a change that was heard before.
func (c *changes) take(t *testing.T, m *nats.Msg) *event.StatusChange {
	t.Helper()
	id := m.Header.Get(nats.MsgIdHdr)
	if c.seen[id] {
		return nil
	}
	c.seen[id] = true
	var body event.StatusChangeMessage
	if err := json.Unmarshal(m.Data, &body); err != nil {
		t.Fatal(err)
	}
	return &body.StatusChange
}
