package daemon

import (
	"bytes"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// floodChanges sends an agent's startup, keep-alive and shutdown, again and
// again as fast as the connection takes it, until the test ends. The channel is
// closed when the first of it is sent.
func floodChanges(t *testing.T, addr netip.AddrPort, id, name, secret string) <-chan struct{} {
	t.Helper()
	c, err := net.Dial("tcp", addr.String())
	if err != nil {
		t.Fatal(err)
	}
	cipher := secmsg.NewKey(id, name, secret).Cipher(secmsg.AES)
	counter := secmsg.Counter{Global: uint64(time.Now().Unix())}
	var encoder secmsg.Encoder
	begun, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for first := true; ; first = false {
			var out bytes.Buffer
			for i := range 300 {
				payload := []string{`#!-agent startup {"version":"v4.14.0"}`, "#!-Linux |host |5.0 |#1 |x86_64 [Ubuntu|ubuntu: 22.04] - Wazuh v4.14.0 / ab73af\n", "#!-agent shutdown "}[i%3]
				counter.Next()
				frame, err := encoder.AppendToManager(secmsg.BeginFrame(nil), id, cipher, counter, []byte(payload))
				if err != nil {
					panic(err)
				}
				secmsg.EndFrame(frame, 0)
				out.Write(frame)
			}
			if _, err := c.Write(out.Bytes()); err != nil {
				return
			}
			if first {
				close(begun)
			}
		}
	}()
	t.Cleanup(func() { _ = c.Close(); <-ended })
	return begun
}

// floodDelay is for how long a flood may hold up what others do, on a busy machine. It goes on
// for much longer.
const floodDelay = 10 * time.Second

func TestAFloodOfOneAgentHoldsUpNoOtherAndFillsNoDisk(t *testing.T) {
	t.Parallel()
	cfg := patientSettings(t)
	h := startTestNode(t, cfg)
	agents := h.startAgents("002 db any 2222222222222222\n")
	h.waitAllActive("002")
	began := time.Now()
	<-floodChanges(t, h.node.AgentAddr(), "001", "web", "1111111111111111")
	sum := 0
	count := func(m receivedMessage) {
		if m.Change != nil && m.Change.AgentID == "001" {
			sum++
		}
	}
	h.nextMessage("agent_flapping of 001", func(m receivedMessage) bool { count(m); return m.Flapping != nil && m.Flapping.AgentID == "001" })
	if err := agents.Fail("002", agentsim.Kill); err != nil {
		t.Fatal(err)
	}
	died := time.Now()
	lost := h.nextMessage("loss of 002", func(m receivedMessage) bool {
		count(m)
		return m.Change != nil && m.Change.AgentID == "002" && m.Change.CurrentStatus == event.Disconnected
	})
	took := time.Since(died)
	t.Logf("another agent's loss was published after %v, with a grace of %v", took, cfg.KeepAlive.ReconnectGrace)
	if took > floodDelay+cfg.KeepAlive.ReconnectGrace {
		t.Errorf("another agent's loss was published after %v", took)
	}
	if lost.Change.Reason != event.ConnectionLost {
		t.Errorf("%+v", lost.Change)
	}
	h.nextMessage("sum of 001", func(m receivedMessage) bool {
		count(m)
		return m.Change != nil && m.Change.AgentID == "001" && m.Change.StatusChanges > 1
	})
	if most := maxChanges + 1 + int(time.Since(began)/(2*time.Second)); sum > most {
		t.Errorf("%d status changes of the flooding agent were published, want %d at most", sum, most)
	}
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	if size := sizeOf(t, cfg.Pulse.StateDir); size > 4<<20 {
		t.Errorf("%d bytes in the state directory", size)
	}
}

// sizeOf is how much is in the files of a directory, but for what is kept for a full disk.
func sizeOf(t *testing.T, dir string) (size int64) {
	t.Helper()
	if err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == "reserve" {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return size
}

func TestAStopPublishesTheChangesThatAreWithheld(t *testing.T) {
	t.Parallel()
	h := startTestNode(t, testSettings(t))
	<-floodChanges(t, h.node.AgentAddr(), "001", "web", "1111111111111111")
	h.nextMessage("agent_flapping of 001", func(m receivedMessage) bool { return m.Flapping != nil })
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	h.nextMessage("sum of 001", func(m receivedMessage) bool {
		return m.Change != nil && m.Change.AgentID == "001" && m.Change.StatusChanges > 0
	})
}
