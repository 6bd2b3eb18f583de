package daemon

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

func asHub(o *server.Options) {
	o.ServerName, o.JetStreamDomain = "hub", "hub"
	o.LeafNode = server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT}
}

// leafOf returns a leaf node that is connected to a hub.
func leafOf(t *testing.T, hub *server.Server, change func(*server.Options)) *server.Server {
	t.Helper()
	info, err := hub.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	leaf := far(t, func(o *server.Options) {
		o.ServerName = "leaf"
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats-leaf", Host: fmt.Sprintf("127.0.0.1:%d", info.LeafNode.Port)}}}}
		change(o)
	})
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for deadline := time.After(testTimeout); leaf.NumLeafNodes() != 1; {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatal("the leaf node is not connected to the hub")
		}
	}
	return leaf
}

// All that a node keeps on the platform's server is at the hub, though the node is connected to
// a leaf node, which may have buckets of the same names in a domain of its own.
func TestANodeAtALeafNodeKeepsAllInTheHubsJetStreamDomain(t *testing.T) {
	for name, change := range map[string]func(*server.Options){
		"a leaf without JetStream":        func(o *server.Options) { o.JetStream = false },
		"a leaf with a domain of its own": func(o *server.Options) { o.JetStreamDomain = "leaf" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newWillPlatformAt(t, far(t, asHub), "one", "two")
			leaf := leafOf(t, p.srv, change)
			_, leafJS := testsupport.ConnectNATS(t, leaf.ClientURL())
			own := leaf.JetStreamEnabled()
			buckets := []string{event.AgentsBucket, keys.Bucket, kv.ClusterBucket}
			for _, b := range buckets {
				if !own {
					break
				}
				if _, err := leafJS.CreateStream(t.Context(), kv.StreamConfig(b, "", 1)); err != nil {
					t.Fatal(err)
				}
			}
			settings := func(node string) *config.Config {
				cfg := p.settings(node, leaf.Addr().String())
				cfg.NATS.JetStreamDomain, cfg.Cluster.Enabled = "hub", true
				return cfg
			}
			a := p.consumeAlerts()
			one := p.startNode(settings("one"))
			a.trust(one)
			waitFor(t, one.startAgents(keyFile).Settled())
			one.state(p.srv.ClientURL(), "001", activeNow)
			one.await("the last will is at the hub", func() bool { return p.will("one", 3) })
			two := p.startNode(settings("two"))
			two.awaitOwner(ownership.AgentID(1), "one")
			a.trust(one, two)
			for _, b := range buckets {
				s, err := p.js.Stream(t.Context(), "KV_"+b)
				if err != nil {
					t.Fatalf("%s at the hub: %v", b, err)
				}
				if s.CachedInfo().State.Msgs == 0 {
					t.Errorf("%s at the hub is empty", b)
				}
				if !own {
					continue
				}
				if s, err = leafJS.Stream(t.Context(), "KV_"+b); err != nil || s.CachedInfo().State.Msgs > 0 {
					t.Errorf("%s of the leaf node: %+v, %v", b, s.CachedInfo().State, err)
				}
			}
			one.await("status changes are confirmed", func() bool {
				o := one.node.Status().Outbox
				return o != nil && o.Status.Forwarded > 0 && o.Status.Unacknowledged == 0 && o.Waiting() == 0
			})
			xdr, err := p.js.Stream(t.Context(), "XDR")
			if err != nil {
				t.Fatal(err)
			}
			if _, err := xdr.GetLastMsgForSubject(t.Context(), "wazuh.xdr.agent.001.status_change"); err != nil {
				t.Error(err)
			}
		})
	}
}
