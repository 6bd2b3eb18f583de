package daemon

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// answered waits until an agent has answered a keep-alive, and fails the test if
// any was lost before.
func (h *testNode) answered(id string) {
	h.t.Helper()
	h.nextMessage("an answer of "+id, func(m receivedMessage) bool {
		if m.Change != nil && m.Change.CurrentStatus == event.Disconnected {
			h.t.Errorf("lost: %+v", m.Change)
		}
		return m.Event != nil && m.Event.AgentID == id && m.Event.EventType == event.KeepAliveAcknowledged
	})
}

var allIDs = []string{"001", "002", "003"}

// Each agent of the fleet loses its counter in another way, with its process or without.
func TestAgentsThatLostTheirCountersAreNotLost(t *testing.T) {
	t.Parallel()
	for _, network := range []string{"tcp", "udp"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			cfg := patientSettings(t)
			cfg.Remote.TCP, cfg.Remote.UDP = network == "tcp", network == "udp"
			h := startTestNode(t, cfg)
			agents := h.startAgents(keyFile, func(c *agentsim.Config) { c.Network = network })
			h.waitAllActive(allIDs...)
			before := uint64(time.Now().Add(-time.Hour).Unix())
			for i, to := range []secmsg.Counter{{}, {Global: before, Local: 77}, {Global: before, Local: 9997}} {
				id := allIDs[i]
				restarts := i < 2 // the third is restored while it runs, as a virtual machine may be
				if restarts {
					if err := agents.Fail(id, agentsim.Shutdown); err != nil {
						t.Fatal(err)
					}
					h.nextChange(id, event.Disconnected)
				}
				if err := agents.SetCounter(id, to); err != nil {
					t.Fatal(err)
				}
				if restarts {
					if err := agents.Revive(id); err != nil {
						t.Fatal(err)
					}
					h.nextChange(id, event.Active)
				}
			}
			for range 2 {
				for _, id := range allIDs {
					h.answered(id)
				}
			}
		})
	}
}

func TestACopyOfAMachineDoesNotLoseItsAgent(t *testing.T) {
	t.Parallel()
	cfg := patientSettings(t)
	cfg.Remote.TCP, cfg.Remote.UDP = false, true
	h := startTestNode(t, cfg)
	agents := h.startAgents(keyFile, func(c *agentsim.Config) { c.Network = "udp" })
	h.waitAllActive(allIDs...)
	copies := h.startAgents(keyFile, func(c *agentsim.Config) { c.Network = "udp" })
	for _, id := range allIDs {
		if err := copies.SetCounter(id, secmsg.Counter{Global: 7}); err != nil {
			t.Fatal(err)
		}
		if err := agents.Fail(id, agentsim.Kill); err != nil { // only the copy is left
			t.Fatal(err)
		}
	}
	for range 3 {
		for _, id := range allIDs {
			h.answered(id)
		}
	}
}

// wiretap is the way of agents to their manager, on which somebody listens.
type wiretap struct {
	net.Listener
	mu   sync.Mutex
	last []byte // the last whole message from an agent, with its length
}

func tapAgents(t *testing.T, to string) *wiretap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wiretap{Listener: l}
	var running sync.WaitGroup
	t.Cleanup(func() { _ = l.Close(); running.Wait() })
	running.Go(func() {
		for {
			agent, err := l.Accept()
			if err != nil {
				return
			}
			manager, err := net.Dial("tcp", to)
			if err != nil {
				_ = agent.Close()
				continue
			}
			running.Go(func() { _, _ = io.Copy(agent, manager); _ = agent.Close() })
			running.Go(func() { w.listen(agent, manager); _ = manager.Close() })
		}
	})
	return w
}

func (w *wiretap) listen(from io.Reader, to io.Writer) {
	for {
		frame := make([]byte, 4)
		if _, err := io.ReadFull(from, frame); err != nil {
			return
		}
		frame = append(frame, make([]byte, binary.LittleEndian.Uint32(frame))...)
		if _, err := io.ReadFull(from, frame[4:]); err != nil {
			return
		}
		w.mu.Lock()
		w.last = bytes.Clone(frame)
		w.mu.Unlock()
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

func (w *wiretap) captured() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last
}

func TestACapturedGoodbyeDoesNotHideAKill(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.KeepAlive.ReconnectGrace = time.Second
	h := startTestNode(t, cfg)
	addr := h.node.AgentAddr()
	way := tapAgents(t, addr.String())
	agents := h.startAgents("002 db any 2222222222222222\n", func(c *agentsim.Config) { c.Manager = way.Addr().String() })
	writeKeys(t, cfg, "002 db any 2222222222222222\n")
	h.nextChange("002", event.Active)
	if err := agents.Fail("002", agentsim.Shutdown); err != nil {
		t.Fatal(err)
	}
	h.nextChange("002", event.Disconnected)
	captured := way.captured()
	for life := range 2 {
		if err := agents.Revive("002"); err != nil {
			t.Fatal(err)
		}
		h.nextChange("002", event.Active)
		if life == 1 { // what the life before has seen counts in the next
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			cfg.Remote.Port = int(addr.Port())
			h = startTestNode(t, cfg)
			h.answered("002")
		}
		if err := agents.Fail("002", agentsim.Kill); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			thief, err := net.Dial("tcp", addr.String())
			if err != nil {
				t.Fatal(err)
			}
			_, _ = thief.Write(captured)
			defer thief.Close()
		}
		if got := h.nextChange("002", event.Disconnected); got.Reason != event.ConnectionLost {
			t.Errorf("life %d: %+v", life, got)
		}
	}
	if n := h.node.Status().Link.Refused["stale_counter"]; n == 0 {
		t.Error("nothing was refused")
	}
}

func TestANodeThatCrashedAsksItsAgents(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive(allIDs...)
	path := filepath.Join(cfg.Pulse.StateDir, "numbers")
	onDisk, err := os.ReadFile(path) // until the node ends in order
	if err != nil {
		t.Fatal(err)
	}
	if n := h.node.Status().Link.Questions; n != 0 {
		t.Errorf("%d questions in the first life", n)
	}
	for _, file := range [][]byte{onDisk, []byte("what"), nil} {
		if err := h.stop(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(os.Remove(path), os.Remove(path+".recent")); err != nil {
			t.Fatal(err)
		}
		if file != nil { // else it was deleted
			if err := os.WriteFile(path, file, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		h = startTestNode(t, cfg)
		h.startAgents(keyFile)
		for _, id := range allIDs {
			h.answered(id)
		}
		for range 100 { // an agent answers its keep-alive or the question first
			if h.node.Status().Link.Proofs >= 3 {
				break
			}
			h.answered("001")
		}
		if n := h.node.Status().Link.Proofs; n < 3 {
			t.Errorf("%d proofs", n)
		}
	}
}

// Killed, a node has not saved the numbers of the last minute for good.
func TestAKilledNodeKnowsWhatItsAgentsHaveSent(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.waitAllActive(allIDs...)
	link := h.node.link.(*listenLink)
	path := filepath.Join(cfg.Pulse.StateDir, "numbers")
	for late := time.Now().Add(testTimeout); ; h.answered("001") { // until all three are there
		recent, err := os.ReadFile(path + ".recent")
		if err == nil && len(recent) == len(link.Link.Numbers(false)) && len(recent) > 3*12 {
			break
		}
		if time.Now().After(late) {
			t.Fatal("the numbers are not handed over")
		}
	}
	copied := &numbersFile{path: filepath.Join(t.TempDir(), "numbers"), log: link.numbers.log}
	for from, to := range map[string]string{path: copied.path, path + ".recent": copied.recentPath()} {
		data, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if all := copied.readSaved(); len(all) != 2 || isFinal(all[0]) || len(all[1]) < 3*12 {
		t.Errorf("%q is taken", all)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	if all := link.numbers.readSaved(); len(all) != 1 || !isFinal(all[0]) {
		t.Errorf("after an end in order, %q is taken", all)
	}
	if all := link.numbers.readSaved(); len(all) != 2 || isFinal(all[0]) { // as a next life that was killed at once
		t.Errorf("then %q is taken", all)
	}
}
