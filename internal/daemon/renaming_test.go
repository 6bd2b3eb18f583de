package daemon

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/seal"
)

// readAllWith reads what a node has stored, with the keys of a file.
func (h *testNode) readAllWith(file string) (byNode map[string]int, refused []error) {
	h.t.Helper()
	all, err := keys.ReadPublic(file)
	if err != nil {
		h.t.Fatal(err)
	}
	verifier, err := seal.NewVerifier(all...)
	if err != nil {
		h.t.Fatal(err)
	}
	opener := &seal.Opener{Verifier: verifier}
	nc, err := nats.Connect(h.node.NATSURL())
	if err != nil {
		h.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		h.t.Fatal(err)
	}
	byNode = map[string]int{}
	for _, stream := range []string{"STATUS", "TELEMETRY"} {
		consumer, err := js.OrderedConsumer(h.t.Context(), stream, jetstream.OrderedConsumerConfig{})
		if err != nil {
			h.t.Fatal(err)
		}
		batch, err := consumer.FetchNoWait(10_000)
		if err != nil {
			h.t.Fatal(err)
		}
		for m := range batch.Messages() {
			opened, err := opener.Open(seal.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
			if err != nil {
				refused = append(refused, fmt.Errorf("%s: %w", m.Subject(), err))
				continue
			}
			byNode[opened.Security.Node]++
		}
	}
	return byNode, refused
}

// A node that gets another name keeps its key and its agents' statuses, and what it said before is still its own.
func TestARenamedNodeKeepsItsKeyItsAgentsAndItsPast(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	cfg.NATS.MessageSigning = true
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	h.awaitActive(3)
	first, err := (&keys.Files{StateDir: cfg.Pulse.StateDir}).ReadPublicKeys()
	if err != nil {
		t.Fatal(err)
	}
	// The keys under the new name can be given to the readers before.
	files := keys.Files{Node: "node01", StateDir: cfg.Pulse.StateDir}
	before, err := files.PublicKeysOf("west")
	if err != nil || len(before) != 1 || before[0].Node != "west" || !before[0].MaySignFor("node01") {
		t.Fatalf("%v, %v", before, err)
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}

	cfg.Pulse.NodeName = "west"
	if was := FormerName(cfg); was != "node01" {
		t.Errorf("before the start: %q", was)
	}
	h = startTestNode(t, cfg)
	if was := FormerName(cfg); was != "" {
		t.Errorf("after the start: %q", was)
	}
	if len(h.log.about("this node has another name than at its last start")) != 1 {
		t.Error("the log does not name the former name")
	}
	if now := h.node.Status().Agents; now.Active != 3 {
		t.Errorf("after the renaming: %+v", now)
	}
	h.awaitHeartbeat("west")
	public := filepath.Join(cfg.Pulse.StateDir, "public.jwks")
	byNode, refused := h.readAllWith(public)
	if len(refused) > 0 || byNode["node01"] == 0 || byNode["west"] == 0 {
		t.Errorf("%v, refused: %v", byNode, refused)
	}
	present, err := keys.ReadPublic(public)
	if err != nil || len(present) != 1 || !present[0].Equal(first[0]) || present[0].Node != "west" {
		t.Errorf("the keys are %v, and were %v: %v", present, first, err)
	}
}

// awaitActive waits until so many agents are active.
func (h *testNode) awaitActive(n int) {
	h.t.Helper()
	h.awaitStatus(func(s Status) bool { return s.Agents.Active == n })
}

func (h *testNode) awaitHeartbeat(node string) {
	h.t.Helper()
	for deadline := time.After(testTimeout); ; {
		select {
		case m := <-h.messages:
			if m.Subject == event.Prefix("wazuh.xdr").ManagerStatus(node) {
				return
			}
		case <-deadline:
			h.t.Fatal("no heartbeat")
		}
	}
}

func (h *testNode) awaitStatus(is func(Status) bool) {
	h.t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for deadline := time.After(testTimeout); !is(h.node.Status()); {
		select {
		case <-look.C:
		case <-deadline:
			h.t.Fatalf("%+v", h.node.Status().Agents)
		}
	}
}
