package demo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/relay"
	"github.com/wazuh-pulse/pulse/internal/sealing"
	"github.com/wazuh-pulse/pulse/seal"
)

// clusterNodes are the names of the nodes.
var clusterNodes = []string{"node01", "node02", "node03"}

// clusterStreams are the platform's streams of messages.
var clusterStreams = []string{"STATUS", "TELEMETRY"}

// clusterWorld is the nodes of a cluster, and the world around them, all running.
type clusterWorld struct {
	dir      string
	prefix   event.Prefix
	server   *server.Server
	client   *nats.Conn
	js       jetstream.JetStream
	keyFile  string
	agentIDs []string
	hostOf   map[string]string // the agents' names
	managers Managers          // nil if agents connect to the nodes
	nodes    []*clusterNode
	verifier *seal.Verifier
	balancer *relay.Balancer
	fleet    *agentsim.Fleet
	messages chan *nats.Msg
	failed   chan error
	stop     context.CancelFunc // of the agents
	work     sync.WaitGroup
	readers  []jetstream.ConsumeContext
}

// clusterNode is one node, behind a path to the NATS server.
type clusterNode struct {
	name string
	cfg  config.Config
	path *relay.Path
	node *daemon.Node
	end  func() error // ends it, and returns its error
	dead bool
	cut  bool // off from the NATS server
}

// openWorld starts everything, in a temporary directory.
func openWorld(ctx context.Context, cfg ClusterConfig) (w *clusterWorld, err error) {
	w = &clusterWorld{prefix: event.DefaultPrefix, hostOf: make(map[string]string), messages: make(chan *nats.Msg, 1<<16), failed: make(chan error, 8)}
	ctx, w.stop = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
		}
	}()
	// The path of a manager's home is short: see longestHome.
	if w.dir, err = os.MkdirTemp("/tmp", "pulse-demo-"); err != nil {
		return w, err
	}
	e := &environment{dir: w.dir, names: w.hostOf}
	if w.keyFile, err = e.writeKeys(cfg.Agents, false); err != nil {
		return w, err
	}
	w.agentIDs = e.ids
	set, _, err := clientkeys.ReadFile(w.keyFile)
	if err != nil {
		return w, err
	}
	if err := w.startServer(ctx); err != nil {
		return w, err
	}
	if cfg.StartManagers != nil {
		if w.managers, err = cfg.StartManagers(w.dir, clusterNodes, set.Keys()); err != nil {
			return w, err
		}
	}
	for _, name := range clusterNodes {
		if err := w.openNode(ctx, name, cfg.Version); err != nil {
			return w, err
		}
	}
	if err := w.loadVerifier(); err != nil {
		return w, err
	}
	return w, w.startAgents(ctx, set.Keys())
}

// startServer starts the platform's NATS server, with the streams that a platform has, and
// a reader of them.
func (w *clusterWorld) startServer(ctx context.Context) (err error) {
	w.server, err = server.NewServer(&server.Options{ServerName: "platform", Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: filepath.Join(w.dir, "nats")})
	if err != nil {
		return fmt.Errorf("start a NATS server: %w", err)
	}
	w.server.Start()
	if !w.server.ReadyForConnections(answerTime) {
		return errors.New("the NATS server is not ready")
	}
	if w.client, err = nats.Connect(w.server.ClientURL(), nats.Name("pulse demo")); err != nil {
		return fmt.Errorf("connect to the NATS server: %w", err)
	}
	if w.js, err = jetstream.New(w.client); err != nil {
		return err
	}
	for i, subjects := range [][]string{
		{w.prefix.StatusChanges(), string(w.prefix) + ".alerts.*"},
		{w.prefix.KeepAlive("*"), w.prefix.ManagerStatus("*")},
	} {
		name := clusterStreams[i]
		if err := w.readStream(ctx, jetstream.StreamConfig{Name: name, Subjects: subjects, Storage: jetstream.MemoryStorage, AllowDirect: true}); err != nil {
			return fmt.Errorf("make the stream %s: %w", name, err)
		}
	}
	return nil
}

// readStream makes a stream and reads it.
func (w *clusterWorld) readStream(ctx context.Context, cfg jetstream.StreamConfig) error {
	s, err := w.js.CreateStream(ctx, cfg)
	if err != nil {
		return err
	}
	reader, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return err
	}
	reading, err := reader.Consume(func(m jetstream.Msg) {
		select {
		case w.messages <- &nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()}:
		case <-ctx.Done():
		}
	})
	w.readers = append(w.readers, reading)
	return err
}

// openNode opens a node of its own directory, and runs it.
func (w *clusterWorld) openNode(ctx context.Context, name, version string) error {
	n := &clusterNode{name: name, cfg: config.Default()}
	var err error
	if n.path, err = relay.OpenPath(w.server.Addr().String()); err != nil {
		return err
	}
	w.nodes = append(w.nodes, n)
	c := &n.cfg
	c.Pulse.Link, c.Pulse.HTTP, c.Pulse.NodeName = "listen", "127.0.0.1:0", name
	c.Pulse.ClientKeys, c.Pulse.StateDir = w.keyFile, filepath.Join(w.dir, name+"-state")
	c.Cluster.Enabled = true
	c.Remote.LocalIP, c.Remote.Port = netip.MustParseAddr("127.0.0.1"), 0
	c.NATS.ServerURL, c.NATS.ReconnectDelay, c.NATS.MessageSigning = "nats://"+n.path.Addr(), 200*time.Millisecond, true
	c.KeepAlive = config.KeepAlive{Enabled: true, Interval: interval, Timeout: timeout, MaxMissed: maxMissed,
		RetryInterval: retryInterval, Method: "request", ReconnectGrace: clusterGrace, SuspectTimeout: suspectTimeout,
		OutageShare: outageShare, OutageHold: outageHold, FlapThreshold: flapThreshold, FlapWindow: flapWindow,
		EscalateAfter: []time.Duration{escalateAfter}}
	if w.managers != nil {
		c.Pulse.Link, c.Pulse.Home = "attach", w.managers.Home(name)
	}
	return w.runNode(ctx, n, version)
}

func (w *clusterWorld) runNode(ctx context.Context, n *clusterNode, version string) (err error) {
	if n.node, err = daemon.Open(ctx, &n.cfg, version, slog.New(slog.DiscardHandler)); err != nil {
		return fmt.Errorf("start %s: %w", n.name, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	running := n.node
	w.work.Go(func() {
		err := running.Run(ctx)
		if err != nil && ctx.Err() == nil {
			w.failed <- fmt.Errorf("%s: %w", n.name, err)
		}
		ended <- err
	})
	n.end = sync.OnceValue(func() error { cancel(); return <-ended })
	return nil
}

func (w *clusterWorld) loadVerifier() error {
	var all []*seal.Key
	for _, n := range w.nodes {
		files := sealing.KeyFiles(&n.cfg)
		public, err := keys.ReadPublic(files.PublicPath())
		if err != nil {
			return err
		}
		all = append(all, public...)
	}
	var err error
	w.verifier, err = seal.NewVerifier(all...)
	return err
}

// agentAddr returns where agents of a node connect.
func (w *clusterWorld) agentAddr(n *clusterNode) string {
	if w.managers != nil {
		return w.managers.AgentAddr(n.name).String()
	}
	return n.node.AgentAddr().String()
}

// startAgents starts the balancer, and agents behind it.
func (w *clusterWorld) startAgents(ctx context.Context, all []clientkeys.Key) error {
	var list []relay.Node
	for _, n := range w.nodes {
		list = append(list, relay.Node{Name: n.name, Addr: w.agentAddr(n)})
	}
	var err error
	if w.balancer, err = relay.StartBalancer(list...); err != nil {
		return err
	}
	for i, id := range w.agentIDs {
		w.balancer.SetRoute(id, w.nodes[i%len(w.nodes)].name)
	}
	w.fleet, err = agentsim.New(agentsim.Config{Manager: w.balancer.Addr(), Keys: all, Notify: notify, Retry: time.Second})
	if err != nil {
		return err
	}
	w.work.Go(func() {
		if err := w.fleet.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			w.failed <- err
		}
	})
	return nil
}

func (w *clusterWorld) findNode(name string) *clusterNode {
	return w.nodes[slices.IndexFunc(w.nodes, func(n *clusterNode) bool { return n.name == name })]
}

func (n *clusterNode) setCut(cut bool) error {
	n.cut = cut
	return n.path.SetCut(cut)
}

// killProcess ends a node in such a way that nobody else notices more than of a process
// that is killed: its connections end before it does anything about it.
func (w *clusterWorld) killProcess(n *clusterNode) error {
	n.dead = true
	err := n.setCut(true)
	if w.managers != nil {
		w.managers.StopNode(n.name)
	}
	w.balancer.CutNode(n.name)
	// It publishes nothing more. That it could not is no error of the demo's.
	w.work.Go(func() { _ = n.end() })
	return err
}

// startAgain starts a node that was killed, with what it has on its disk.
func (w *clusterWorld) startAgain(n *clusterNode, version string) error {
	_ = n.end()
	if w.managers != nil {
		if err := w.managers.StartNode(n.name); err != nil {
			return err
		}
	}
	if err := n.setCut(false); err != nil {
		return err
	}
	if err := w.runNode(context.Background(), n, version); err != nil {
		return err
	}
	n.dead = false
	w.balancer.SetAddr(n.name, w.agentAddr(n))
	w.balancer.SetDown(n.name, false)
	return nil
}

// countWaiting returns how many messages of living nodes are not at the NATS server yet. Those of a
// node that is cut off do not get there, and it would be lost if they were waited for.
func (w *clusterWorld) countWaiting() (waiting uint64) {
	for _, n := range w.nodes {
		if n.dead || n.cut {
			continue
		}
		if out := n.node.Status().Outbox; out != nil {
			waiting += out.Status.Backlog + out.Telemetry.Backlog
		}
	}
	return waiting
}

// countUnread returns how many messages the streams have, of which some were read, that were not: on
// a busy machine their reader may pause for longer than anybody publishes nothing.
func (w *clusterWorld) countUnread(ctx context.Context, read uint64) (unread uint64) {
	for _, name := range clusterStreams {
		if s, err := w.js.Stream(ctx, name); err == nil {
			unread += s.CachedInfo().State.LastSeq
		}
	}
	return unread - min(read, unread)
}

// describePlaces returns how many agents each node has.
func (p *clusterRun) describePlaces() string {
	var parts []string
	for _, n := range p.nodes {
		parts = append(parts, fmt.Sprintf("%d at %s", len(p.listAgents(n)), n.name))
	}
	return strings.Join(parts, ", ")
}

// listAgents returns the agents that live and are at a node.
func (p *clusterRun) listAgents(n *clusterNode) (ids []string) {
	for _, id := range p.ids {
		if a := p.agents[id]; a.alive && a.node == n.name {
			ids = append(ids, id)
		}
	}
	return ids
}

// pickAgent returns an agent of a node of which everything is reported; "" for none.
func (p *clusterRun) pickAgent(n *clusterNode) string {
	for _, id := range p.listAgents(n) {
		if !p.agents[id].unreported {
			return id
		}
	}
	return ""
}

// close stops everything and removes the directory.
func (w *clusterWorld) close() (err error) {
	w.stop()
	if w.balancer != nil {
		w.balancer.Close()
	}
	for _, n := range w.nodes {
		if n.end != nil && !n.dead {
			err = errors.Join(err, n.end())
		}
	}
	w.work.Wait()
	for _, n := range w.nodes {
		n.path.Close()
	}
	for _, r := range w.readers {
		r.Stop()
	}
	if w.client != nil {
		w.client.Close()
	}
	if w.server != nil {
		w.server.Shutdown()
		w.server.WaitForShutdown()
	}
	if w.managers != nil {
		err = errors.Join(err, w.managers.Close())
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}
