package provision_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
)

// journal is a log that may be read while it is written.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

// A real node logs in with the settings that were written for it, and does all
// that it ever does: nothing of it is refused.
func TestARealNodeNeedsNoMoreRightsThanItHas(t *testing.T) {
	s := newStage(t)
	log := new(journal)
	s.runNode(s.nodeSettings("node01"), log)
	nc, js := s.reader("xdr")
	for stream, subject := range map[string]string{"STATUS": "wazuh.xdr.agent.001.status_change", "TELEMETRY": "wazuh.xdr.manager.status.node01",
		"KV_PULSE_AGENTS": "$KV.PULSE_AGENTS.001"} {
		s.awaitMessage(js, stream, subject)
	}
	answer, err := nc.RequestWithContext(patient(t), "pulse.agents.get", []byte(`{"id":"001"}`))
	if err != nil || !strings.Contains(string(answer.Data), `"node01"`) {
		t.Errorf("all nodes asked: %s, %v", answer.Data, err)
	}
	for _, subject := range []string{"pulse.node01.status", "$SRV.PING", "$SRV.INFO.pulse"} {
		if m, err := nc.RequestWithContext(patient(t), subject, nil); err != nil || !json.Valid(m.Data) {
			t.Errorf("%s: %v", subject, err)
		}
	}
	if kv, err := js.KeyValue(patient(t), event.AgentsBucket); err != nil {
		t.Error(err)
	} else if entry, err := kv.Get(patient(t), "001"); err != nil || !strings.Contains(string(entry.Value()), `"node01"`) {
		t.Errorf("state: %v, %v", entry, err)
	}
	s.nothingRefused(nc)
	if said := log.String(); strings.Contains(said, "refuse") || strings.Contains(said, "roster of agents is kept: ") || strings.Contains(said, "cannot") {
		t.Errorf("the node's log:\n%s", said)
	}
}

// runNode runs a node, and an agent of it, until the test ends.
func (s *stage) runNode(cfg *config.Config, log io.Writer) *daemon.Node {
	s.Helper()
	node, err := daemon.Open(patient(s), cfg, "1.2.3", slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		s.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	s.Cleanup(func() { stop(); running.Wait() })
	running.Go(func() {
		if err := node.Run(ctx); err != nil {
			s.Error(err)
		}
	})
	keys, _, err := clientkeys.Parse(strings.NewReader("001 web any 1111111111111111\n"))
	if err != nil {
		s.Fatal(err)
	}
	sim := agentsim.Config{Manager: node.AgentAddr().String(), Notify: 100 * time.Millisecond, Retry: 200 * time.Millisecond}
	sim.Keys = keys.Keys()
	fleet, err := agentsim.New(sim)
	if err != nil {
		s.Fatal(err)
	}
	running.Go(func() { _ = fleet.Run(ctx) })
	return node
}

// Two nodes that were given one name, and so one login, find each other with the
// rights of that login.
func TestTwoNodesWithOneLoginFindEachOther(t *testing.T) {
	s := newStage(t)
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	defer running.Wait()
	defer stop()
	var nodes []*daemon.Node
	for range 2 {
		node, err := daemon.Open(patient(t), s.nodeSettings("node01"), "1.2.3", slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, node)
		running.Go(func() {
			if err := node.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := patient(t); ; {
		first, second := nodes[0].Status(), nodes[1].Status()
		if first.Unwatched != "" || second.Unwatched != "" {
			t.Fatalf("%q, %q", first.Unwatched, second.Unwatched)
		}
		if first.OtherNode != nil && !first.OtherNode.GoesFirst && second.OtherNode != nil && second.OtherNode.GoesFirst {
			return
		}
		select {
		case <-look.C:
		case <-deadline.Done():
			t.Fatalf("%+v, %+v", first.OtherNode, second.OtherNode)
		}
	}
}

// nodeSettings are those written for a node, with its files where they are, and quick timings.
func (s *stage) nodeSettings(name string) *config.Config {
	s.Helper()
	dir := s.TempDir()
	text, err := os.ReadFile(s.path("nodes/" + name + "/pulse.d/nats.conf"))
	if err != nil {
		s.Fatal(err)
	}
	file := filepath.Join(dir, "nats.conf")
	text = bytes.ReplaceAll(text, []byte("/var/ossec/etc/"), []byte(s.path("nodes/"+name)+"/"))
	if err := os.WriteFile(file, text, 0o600); err != nil {
		s.Fatal(err)
	}
	loaded, err := config.Load(file)
	if err != nil || len(loaded.Warnings) > 0 {
		s.Fatal(err, loaded)
	}
	cfg := &loaded.Config
	settleInDir(cfg, dir)
	if err := os.WriteFile(cfg.Pulse.ClientKeys, []byte("001 web any 1111111111111111\n"), 0o600); err != nil {
		s.Fatal(err)
	}
	return cfg
}

// awaitMessage takes from the reader's own consumer until one is on subject.
func (s *stage) awaitMessage(js jetstream.JetStream, stream, subject string) {
	s.Helper()
	consumer, err := js.Consumer(patient(s), stream, "xdr")
	if err != nil {
		s.Fatal(err)
	}
	for {
		m, err := consumer.Next(jetstream.FetchMaxWait(patience))
		if err != nil {
			s.Fatalf("no %s in %s: %v", subject, stream, err)
		}
		if err := m.Ack(); err != nil {
			s.Fatal(err)
		}
		if m.Subject() == subject {
			return
		}
	}
}
