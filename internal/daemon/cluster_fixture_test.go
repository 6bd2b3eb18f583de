package daemon

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// clusterSettings are those of a node of a cluster at one server, whose agents are those of
// keys. It loses no agent for its silence within a test.
func clusterSettings(t *testing.T, xdr *server.Server, name, keys string) *config.Config {
	t.Helper()
	cfg := patientSettings(t)
	cfg.Pulse.NodeName, cfg.Cluster.Enabled = name, true
	cfg.NATS.ServerURL, cfg.NATS.ReconnectDelay = xdr.ClientURL(), 50*time.Millisecond
	cfg.NATS.KeepAliveEvents = "failed"                                    // few messages
	cfg.KeepAlive.Interval, cfg.KeepAlive.OutageShare = 10*time.Second, 30 // losses on a busy machine are an outage, too
	writeKeys(t, cfg, keys)
	return cfg
}

// startClusterNode starts a node whose messages are read at the server.
func startClusterNode(t *testing.T, cfg *config.Config) *testNode {
	t.Helper()
	h := openTestNode(t, cfg)
	h.startNode()
	return h
}

// openClusterNode opens a node in whose cluster things happen at a pace.
func openClusterNode(t *testing.T, cfg *config.Config, pace clusterPace) *testNode {
	t.Helper()
	h := &testNode{t: t, log: new(logbook), ended: make(chan error, 1)}
	var err error
	if h.node, err = open(t.Context(), cfg, "1.2.3", world{clock: detector.NewClock(), pace: pace}, slog.New(h.log)); err != nil {
		t.Fatal(err)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	return h
}

// awaitOwner waits until a node knows that a node has an agent.
func (h *testNode) awaitOwner(id ownership.AgentID, name string) {
	h.t.Helper()
	var o ownership.Owner
	h.await("agent "+id.String()+" is at "+name, func() bool {
		o, _ = h.node.cluster().view().Owner(id)
		return o.Node == name && o.Reason == ownership.Here
	})
}

// await waits until something holds.
func (h *testNode) await(what string, holds func() bool) {
	h.t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for deadline := time.After(testTimeout); !holds(); {
		select {
		case <-look.C:
		case <-deadline:
			h.t.Fatalf("never: %s; log: %q", what, h.log.about(""))
		}
	}
}
