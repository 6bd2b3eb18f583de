package outbox

import (
	"fmt"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// hubAndLeaf is a hub with a JetStream domain of its own, and a leaf node of it.
type hubAndLeaf struct {
	testing.TB
	leaf  *farSide
	hubJS jetstream.JetStream
	link  *proxy
	hub   string // the hub's address for leaf nodes
}

func newHubAndLeaf(t testing.TB, leafSetup func(*server.Options)) *hubAndLeaf {
	t.Helper()
	hub := newFarSide(t, func(o *server.Options) {
		withJetStream(o)
		o.ServerName, o.JetStreamDomain = "hub", "hub"
		o.LeafNode = server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT}
	})
	info, err := hub.srv.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	h := &hubAndLeaf{TB: t, link: newProxy(t), hub: fmt.Sprintf("127.0.0.1:%d", info.LeafNode.Port)}
	h.link.setTarget("127.0.0.1:1")
	h.leaf = newFarSide(t, func(o *server.Options) {
		o.ServerName = "leaf"
		o.LeafNode.ReconnectInterval = 20 * time.Millisecond
		to, err := url.Parse("nats-leaf://" + h.link.addr())
		if err != nil {
			t.Fatal(err)
		}
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{to}, IgnoreDiscoveredServers: true}}
		if leafSetup != nil {
			leafSetup(o)
		}
	})
	_, h.hubJS = testsupport.ConnectNATS(t, hub.srv.ClientURL())
	storeAllSubjects(t, h.hubJS, -1)
	return h
}

func (h *hubAndLeaf) connect() {
	h.Helper()
	h.link.setTarget(h.hub)
	h.waitForLinks(1)
}

func (h *hubAndLeaf) cut() {
	h.Helper()
	h.link.setTarget("127.0.0.1:1")
	h.link.dropConns()
	h.waitForLinks(0)
}

func (h *hubAndLeaf) waitForLinks(n int) {
	h.Helper()
	for ctx := testContext(h); h.leaf.srv.NumLeafNodes() != n; pause(ctx, time.Millisecond) {
		if ctx.Err() != nil {
			h.Fatalf("never %d links", n)
		}
	}
}

func ofTheHub(cfg *remote.Config) { cfg.JetStreamDomain = "hub" }

// leafNodes are the kinds of leaf nodes that a node may be connected to.
var leafNodes = map[string]struct {
	setup  func(*server.Options)
	stream bool // it has a stream of its own for the same messages, which acknowledges them, too
}{
	"a leaf without JetStream": {},
	"a leaf with a domain of its own": {setup: func(o *server.Options) {
		withJetStream(o)
		o.JetStreamDomain = "leaf"
	}},
	"a leaf with a stream of its own for the messages": {stream: true, setup: func(o *server.Options) {
		withJetStream(o)
		o.JetStreamDomain = "leaf"
	}},
}

func (h *hubAndLeaf) makeLeafStream() {
	h.Helper()
	_, js := testsupport.ConnectNATS(h, h.leaf.srv.ClientURL())
	makeStream(h, js, "LOCAL", nil, "agent.>", "manager.>", "alerts.>")
}

func (h *hubAndLeaf) checkStored(agents map[int]int) {
	h.Helper()
	total := 0
	for _, n := range agents {
		total += n
	}
	got := testsupport.WaitForStored(h, h.hubJS, "XDR", total)
	for agent, n := range agents {
		of := slices.DeleteFunc(slices.Clone(got), func(id string) bool { return id[:3] != fmt.Sprintf("%03d", agent) })
		if diff := cmp.Diff(ids(changesOf(agent, 1, n)), of); diff != "" {
			h.Errorf("agent %d: %s", agent, diff)
		}
	}
}

func TestNothingIsLostWhileTheHubOfAJetStreamDomainIsAway(t *testing.T) {
	for name, kind := range leafNodes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHubAndLeaf(t, kind.setup)
			if kind.stream {
				h.makeLeafStream()
			}
			h.connect()
			cfg := Config{Dir: t.TempDir(), Remote: h.leaf.remote(ofTheHub)}
			o := mustOpen(t, cfg)
			mustPublish(t, o, changesOf(1, 1, 2))
			h.checkStored(map[int]int{1: 2})
			await(t, o, "the first are confirmed", func(s Stats) bool { return s.Status.Forwarded == 2 && s.Status.Unacknowledged == 0 })

			h.cut()
			mustPublish(t, o, slices.Concat(changesOf(1, 3, 4), changesOf(2, 1, 1)))
			await(t, o, "without the hub", hasWaiting(3))
			mustClose(t, o)
			o = mustOpen(t, cfg)
			mustPublish(t, o, changesOf(1, 5, 5))
			await(t, o, "after a restart", hasWaiting(4))

			h.connect()
			h.checkStored(map[int]int{1: 5, 2: 1})
			await(t, o, "at the end", hasWaiting(0))
		})
	}
}

// A node that starts while the hub is away has never had an acknowledgement, and no list of streams.
func TestTheFirstMessagesOfANodeWaitForTheHubOfAJetStreamDomain(t *testing.T) {
	for name, kind := range leafNodes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHubAndLeaf(t, kind.setup)
			if kind.stream {
				h.makeLeafStream()
			}
			o := mustOpen(t, Config{Remote: h.leaf.remote(ofTheHub)})
			mustPublish(t, o, slices.Concat(changesOf(1, 1, 3), changesOf(2, 1, 1)))
			s := await(t, o, "without the hub", hasWaiting(4))
			if s.Status.Forwarded != 0 || s.Status.Unacknowledged != 0 {
				t.Errorf("%+v", s.Status)
			}
			h.connect()
			h.checkStored(map[int]int{1: 3, 2: 1})
			await(t, o, "at the end", hasWaiting(0))
		})
	}
}
