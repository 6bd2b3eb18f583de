package daemon

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"github.com/wazuh-pulse/pulse/seal"
)

const (
	testHeartbeat = 200 * time.Millisecond
	testWillDelay = 4 * time.Second
)

// willPlatform is a platform's server that announces the losses of some nodes.
type willPlatform struct {
	*testing.T
	srv *server.Server
	js  jetstream.JetStream
}

func newWillPlatform(t *testing.T, nodes ...string) *willPlatform {
	t.Helper()
	return newWillPlatformAt(t, far(t), nodes...)
}

func newWillPlatformAt(t *testing.T, srv *server.Server, nodes ...string) *willPlatform {
	t.Helper()
	p := &willPlatform{T: t, srv: srv}
	_, p.js = testsupport.ConnectNATS(t, p.srv.ClientURL())
	// With sources, and no window given, a stream drops no duplicates.
	xdr := jetstream.StreamConfig{Name: "XDR", Subjects: []string{"wazuh.xdr.>"}, Duplicates: time.Minute}
	for _, n := range nodes {
		cfg := lastwill.StreamConfig(n)
		cfg.MaxAge, cfg.Duplicates = testWillDelay+3*time.Second, time.Second // less than two delays
		if _, err := p.js.CreateStream(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		xdr.Sources = append(xdr.Sources, lastwill.SourceConfig(n, event.Prefix("wazuh.xdr").NodeLost()))
	}
	if _, err := p.js.CreateStream(t.Context(), xdr); err != nil {
		t.Fatal(err)
	}
	return p
}

// startNode starts a node with quick heartbeats.
func (p *willPlatform) startNode(cfg *config.Config) *testNode {
	p.Helper()
	return p.startNodeAt(cfg, realPace)
}

func (p *willPlatform) startNodeAt(cfg *config.Config, pace clusterPace) *testNode {
	p.Helper()
	h := &testNode{t: p.T, log: new(logbook), ended: make(chan error, 1)}
	var err error
	if h.node, err = open(p.Context(), cfg, "1.2.3", world{clock: detector.NewClock(), pace: pace, heartbeat: testHeartbeat, willDelay: testWillDelay}, slog.New(h.log)); err != nil {
		p.Fatal(err)
	}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.startNode()
	return h
}

// settings are those of a node of the platform, at an address that leads to its server.
func (p *willPlatform) settings(name, addr string) *config.Config {
	cfg := patientSettings(p.T)
	cfg.Pulse.NodeName = name
	cfg.NATS.ServerURL, cfg.NATS.ReconnectDelay = "nats://"+addr, 50*time.Millisecond
	return cfg
}

// alerts is a consumer of the alerts about lost nodes. It opens them, as the documentation
// demands: with the nodes' keys, and refusing what is replayed.
type alerts struct {
	*willPlatform
	messages jetstream.MessagesContext
	opener   seal.Opener
}

func (p *willPlatform) consumeAlerts() *alerts {
	p.Helper()
	c, err := p.js.OrderedConsumer(p.Context(), "XDR", jetstream.OrderedConsumerConfig{})
	if err != nil {
		p.Fatal(err)
	}
	messages, err := c.Messages()
	if err != nil {
		p.Fatal(err)
	}
	p.Cleanup(messages.Stop)
	return &alerts{p, messages, seal.Opener{Guard: seal.NewGuard(seal.GuardConfig{Complete: true})}}
}

// trust sets the nodes whose messages are accepted.
func (a *alerts) trust(nodes ...*testNode) {
	a.Helper()
	var keys []*seal.Key
	for _, h := range nodes {
		own, err := h.node.out.sealer.Files.ReadPublicKeys()
		if err != nil {
			a.Fatal(err)
		}
		keys = append(keys, own...)
	}
	var err error
	if a.opener.Verifier, err = seal.NewVerifier(keys...); err != nil {
		a.Fatal(err)
	}
}

// next returns the next alert about a node; all messages before it are checked.
func (a *alerts) next() *event.NodeLostMessage {
	a.Helper()
	ctx, cancel := context.WithTimeout(a.Context(), testTimeout)
	defer cancel()
	for {
		m, err := a.messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			a.Fatalf("no more alerts: %v", err)
		}
		opened, err := a.opener.Open(seal.Message{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		if err != nil {
			a.Fatalf("%s: %v: %s", m.Subject(), err, m.Data())
		}
		if lost, ok := opened.Message.(*event.NodeLostMessage); ok {
			return lost
		}
	}
}

func TestTheServerAnnouncesALossOfANodeWithoutPeersAndTheNodeItsReturn(t *testing.T) {
	t.Parallel()
	p := newWillPlatform(t, "node01")
	path := testsupport.OpenPath(t, p.srv.Addr().String())
	cfg := p.settings("node01", path.Addr)
	a := p.consumeAlerts()
	h := p.startNode(cfg)
	a.trust(h)
	waitFor(t, h.startAgents(keyFile).Settled())
	h.await("the will names the agents", func() bool { return p.will("node01", 3) })
	path.Close()
	cut := time.Now()
	lost := a.next().Lost
	if lost == nil || lost.Node != "node01" || lost.AnnouncedBy != "node01" || lost.Agents != 3 || lost.AlertLevel != 13 || lost.Manager != event.ManagerUnknown ||
		lost.Timestamp-lost.Since != int64(testWillDelay/time.Second) || lost.Since < cut.Add(-testTimeout).Unix() || lost.Since > cut.Unix()+1 {
		t.Errorf("lost: %+v", lost)
	}
	path.Open()
	back := a.next().Back
	if back == nil || back.Node != "node01" || back.Agents != 3 || back.AlertLevel != 3 || back.Since == 0 || back.Since > cut.Unix()+1 {
		t.Errorf("back: %+v", back)
	}
	h.await("there is a will again", func() bool { return p.will("node01", 3) })
	path.Close()
	if lost := a.next().Lost; lost == nil { // once more, with another number
		t.Error("the second loss is not announced")
	}
	h.cancel() // and it ends while it is cut off: a new run announces the return
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	path.Open()
	h = p.startNode(cfg)
	if back := a.next().Back; back == nil || back.Since != 0 {
		t.Errorf("back: %+v", back)
	}
	h.await("there is a will again", func() bool { return p.will("node01", 3) })
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	if p.will("node01", 3) {
		t.Error("a node that has stopped has a will")
	}
	h = p.startNode(cfg) // it has announced its return already
	h.await("there is a will again", func() bool { return p.will("node01", 3) })
	if err := h.stop(); err != nil {
		t.Error(err)
	}
	stream, err := p.js.Stream(t.Context(), "XDR")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(t.Context(), jetstream.WithSubjectFilter("wazuh.xdr.alerts.node_lost"))
	if err != nil || info.State.Subjects["wazuh.xdr.alerts.node_lost"] != 4 {
		t.Errorf("%v alerts, want 4: %v", info.State.Subjects, err)
	}
}

// will reports whether the server has a will of a node that is not announced yet, with so
// many agents.
func (p *willPlatform) will(node string, agents int) bool {
	p.Helper()
	stream, err := p.js.Stream(p.Context(), lastwill.StreamName(node))
	if err != nil {
		p.Fatal(err)
	}
	m, err := stream.GetLastMsgForSubject(p.Context(), lastwill.Subject(node))
	if err != nil || m.Header.Get(jetstream.ScheduleHeader) == "" {
		return false
	}
	if announced, err := stream.GetLastMsgForSubject(p.Context(), lastwill.LostSubject(node)); err == nil && announced.Sequence > m.Sequence {
		return false // it was announced, and is still there
	}
	parsed, err := event.Parse(m.Data)
	lost, ok := parsed.(*event.NodeLostMessage)
	return err == nil && ok && lost.Lost != nil && lost.Lost.Agents == agents
}

func TestANodeWithALivingPeerHasNoLastWill(t *testing.T) {
	t.Parallel()
	p := newWillPlatform(t, "one", "two")
	addr := p.srv.Addr().String()
	cluster := func(name string) *config.Config {
		cfg := p.settings(name, addr)
		cfg.Cluster.Enabled = true
		return cfg
	}
	one := p.startNode(cluster("one"))
	one.await("a node alone has a will", func() bool { return p.will("one", 0) })
	two := p.startNode(cluster("two"))
	two.await("it is withdrawn", func() bool { return !p.will("one", 0) && !p.will("two", 0) })
	for range 5 { // for some heartbeats
		beat := one.node.out.recorder.numbers.Load()
		one.await("a heartbeat", func() bool { return one.node.out.recorder.numbers.Load() > beat })
		if p.will("one", 0) || p.will("two", 0) {
			t.Fatal("a node with a living peer has a will")
		}
	}
}

// Of two nodes the first that is lost is announced by the other, and that by the server.
func TestTheLastNodeOfAClusterIsAnnouncedByTheServerAndTheOthersByTheirPeers(t *testing.T) {
	t.Parallel()
	p := newWillPlatform(t, "one", "two")
	ways := map[string]*testsupport.Path{}
	nodes := map[string]*testNode{}
	for _, name := range []string{"one", "two"} {
		ways[name] = testsupport.OpenPath(t, p.srv.Addr().String())
		cfg := p.settings(name, ways[name].Addr)
		cfg.Cluster.Enabled = true
		nodes[name] = p.startNodeAt(cfg, quickPace)
	}
	a := p.consumeAlerts()
	a.trust(nodes["one"], nodes["two"])
	want := func(what, node, by string) {
		t.Helper()
		m := a.next()
		n, is := m.Lost, "lost"
		if n == nil {
			n, is = m.Back, "back"
		}
		if is != what || n.Node != node || n.AnnouncedBy != by {
			t.Fatalf("%s: %+v, want %s of %s by %s", is, n, what, node, by)
		}
	}
	one, two := nodes["one"], nodes["two"]
	for _, h := range nodes {
		h.await("both live", func() bool { living, known := h.node.cluster().hasLivingPeers(); return living && known })
	}
	one.await("nobody has a will", func() bool { return !p.will("one", 0) && !p.will("two", 0) })
	ways["one"].Close()
	want("lost", "one", "two")
	two.await("the last one has a will", func() bool { return p.will("two", 0) })
	ways["two"].Close()
	want("lost", "two", "two")
	ways["two"].Open()
	want("back", "two", "two")
	ways["one"].Open()
	want("back", "one", "one")
	one.await("nobody has a will", func() bool { return !p.will("one", 0) && !p.will("two", 0) })
	ways["two"].Close()
	want("lost", "two", "one")
	ways["two"].Open()
	want("back", "two", "two")
}

func TestANodeThatFailsLeavesItsLastWill(t *testing.T) {
	t.Parallel()
	p := newWillPlatform(t, "node01")
	h := p.startNode(p.settings("node01", p.srv.Addr().String()))
	h.await("there is a will", func() bool { return p.will("node01", 0) })
	h.node.web.Close() // it cannot serve its console any more
	if err := <-h.ended; err == nil {
		t.Fatal("the node did not fail")
	}
	h.ended <- nil
	if !p.will("node01", 0) {
		t.Error("a node that failed has withdrawn its will")
	}
}
