package daemon

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/fleet"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/metrics"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/silencer"
)

// Settings of the nodes of a model.
const (
	modelNotify  = 10 * time.Second // the agents' own keep-alives
	modelTimeout = 60 * time.Second
)

func modelSettings(name string) *config.Config {
	cfg := config.Default()
	cfg.Pulse.NodeName, cfg.Cluster.Enabled = name, true
	cfg.KeepAlive.Interval, cfg.KeepAlive.Timeout, cfg.KeepAlive.MaxMissed = 20*time.Second, modelTimeout, 3
	cfg.KeepAlive.RetryInterval, cfg.KeepAlive.HostProbe = 10*time.Second, false
	cfg.KeepAlive.EscalateAfter, cfg.KeepAlive.FlapThreshold = nil, 100
	return &cfg
}

// modelNode is a node in a model: its detector, its part in the cluster and what makes
// messages of decisions are real. Its disk is queue, states and epoch.
type modelNode struct {
	w     *modelWorld
	name  string
	cfg   *config.Config
	ahead time.Duration // its clock

	// On its disk.
	epoch  uint64
	disk   sync.Mutex                     // of queue and end, which the cluster's part reads
	queue  []outbox.Message               // not confirmed by the platform yet
	end    uint64                         // sequence of the last message
	states map[string]*event.StatusChange // the last message about each agent
	roster []event.AgentState             // states that are not in the bucket yet
	alerts []message.NodeAlert            // that it has published

	node     *Node // nil while it is down
	view     *modelView
	fleet    interface{ Report(detector.Sighting) }
	stop     func()
	linked   bool        // it reaches the platform
	reaches  atomic.Bool // and that is up
	stuck    atomic.Bool // the platform takes none of its messages, while it takes records
	delay    time.Duration
	sending  time.Time   // when the first message of the queue was sent; zero for not
	absences []time.Time // when they began
	conns    map[detector.AgentID]*modelConn
}

// modelConn is an agent's connection to a node.
type modelConn struct {
	hung bool // the agent has left it, which the node has not seen
}

func (n *modelNode) start() {
	n.w.addStory("%s starts", n.name)
	n.epoch++
	clock := detector.NewWrongClock(n.ahead)
	log := slog.New(slog.DiscardHandler)
	node := &Node{log: log, clock: clock, history: history.New()}
	node.settings.cfg = *n.cfg
	node.metrics = metrics.New(n.name, "1.2.3", nil)
	node.out = &Publisher{backlog: newBacklog(), groups: messageGroups(n.cfg), log: log, prefix: "p"}
	node.out.recorder = &recorder{backlog: node.out.backlog, log: log, writer: message.NewWriter(message.Source{Node: n.name, Version: "1.2.3", Epoch: n.epoch}, "p"), started: time.Now()}
	node.clustered = node.newClusterPart(n.cfg, ownership.Listener, realPace)
	set, err := node.detection(n.cfg)
	if err != nil {
		n.w.t.Fatal(err)
	}
	node.detector = detector.New(set, clock, func(decisions []detector.Decision) {
		for i := range decisions {
			if d := &decisions[i]; d.Verdict == detector.MovedAway || !d.Verdict.IsRoutine() {
				n.w.addStory("    %s decides of agent %v: verdict %d, %v to %v, %v", n.name, d.ID, d.Verdict, d.From, d.To, d.Reason)
			}
		}
		node.handleDecisions(decisions)
	})
	node.silences = silencer.Open(silencer.Config{Node: n.name, Path: n.w.t.TempDir() + "/silences", Fleet: node.detector, Now: time.Now, Log: log,
		Record: func(silencer.Change, *silence.Silence, string) {}, Postpone: func(error, func() error) {}})
	node.detector.Restore(n.listRestored(clock), nil)
	n.conns = map[detector.AgentID]*modelConn{}
	node.link = &modelLink{n}
	n.fleet = node.clustered.shareFleet(node.detector)
	n.view = newModelView(n.w.t, n.w.r, &n.w.stream, n.name, n.epoch)
	n.view.onEvent, n.view.onLoaded = node.clustered.handleEvent, node.clustered.handleLoaded
	node.clustered.shared, node.clustered.link = n.view, node.link
	stated := n.listStated()
	n.view.restored = listRestored(stated)
	n.view.member.Restore(n.view.restored)
	node.clustered.departures.open(n, n.view, stated)
	node.clustered.nodes.declared = n.listDeclared()
	node.clustered.nodes.addPublished(n.alerts)
	node.clustered.statusEnd = n.StatusEnd
	node.clustered.isForwarding = func() bool { return n.reaches.Load() && !n.stuck.Load() }
	node.clustered.awaitForwarded = func(ctx context.Context, end uint64, atMost time.Duration) {
		for until := time.Now().Add(atMost); !n.IsForwarded(end) && time.Now().Before(until); {
			if !pauseFor(ctx, modelStep) {
				return
			}
		}
	}
	n.node = node
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { node.detector.Run(ctx) })
	running.Go(func() { node.clustered.run(ctx) })
	running.Go(func() { node.clustered.watchNodes(ctx) })
	n.stop = func() { cancel(); running.Wait() }
	node.detector.SetMembers(n.w.members)
}

// listRestored returns the agents as the node's last messages have them.
func (n *modelNode) listRestored(clock *detector.Clock) (list []detector.Restored) {
	for _, m := range n.w.members {
		c := n.states[m.ID.String()]
		if c == nil || !isRestored(c) {
			continue
		}
		list = append(list, detector.Restored{Member: m, Status: detector.Status(c.CurrentStatus), Since: clock.Instant(time.Unix(c.Timestamp, 0)),
			LastSeen: clock.Instant(time.Unix(c.LastSeen, 0)), Greeted: true, From: detector.Status(c.PreviousStatus)})
	}
	return list
}

// listStated returns what the node's last messages say of where agents are.
func (n *modelNode) listStated() (list []message.StatedAgent) {
	for _, m := range n.w.members {
		if c := n.states[m.ID.String()]; c != nil && isRestored(c) {
			list = append(list, message.StatedAgent{ID: m.ID, Lost: c.CurrentStatus == event.Disconnected, Since: c.Time(), Order: c.ClusterOrder})
		}
	}
	return list
}

// listDeclared returns which agents are lost with other nodes by the node's last messages.
func (n *modelNode) listDeclared() (list []message.LostAgent) {
	for _, m := range n.w.members {
		if c := n.states[m.ID.String()]; c != nil && c.Reason == event.NodeLost {
			list = append(list, message.LostAgent{ID: m.ID, Node: c.FromNode, Time: c.Time()})
		}
	}
	return list
}

func isRestored(c *event.StatusChange) bool {
	return c.Reason != event.NodeLost && (c.Reason != event.AgentMoved || c.ToNode == "")
}

// kill ends the node. What it has decided and not stored is lost.
func (n *modelNode) kill() {
	n.stop()
	n.node, n.view, n.sending = nil, nil, time.Time{}
	n.absences = append(n.absences, time.Now())
}

// step lets a moment pass on a node that is not down.
func (n *modelNode) step() {
	n.reaches.Store(n.linked && n.w.serverUp)
	n.view.step(n.reaches.Load(), n.delay)
	n.storeMessages()
	n.forwardMessages()
}

// storeMessages makes messages of what was decided, and stores them on the node's disk.
func (n *modelNode) storeMessages() {
	for {
		records, _ := n.node.out.backlog.takeGroup()
		if len(records) == 0 {
			return
		}
		for i := range records {
			r := &records[i]
			if r.IsRoutine() {
				continue
			}
			for _, m := range n.node.out.recorder.writer.AppendRecord(nil, r) {
				n.disk.Lock()
				n.queue = append(n.queue, m)
				n.end++
				n.disk.Unlock()
				n.keepState(m)
			}
			if r.Stored != nil {
				r.Stored()
			}
		}
	}
}

// StatusEnd returns the sequence of the last message on the disk.
func (n *modelNode) StatusEnd() uint64 {
	n.disk.Lock()
	defer n.disk.Unlock()
	return n.end
}

// IsForwarded reports whether all messages up to a sequence are confirmed.
func (n *modelNode) IsForwarded(seq uint64) bool {
	n.disk.Lock()
	defer n.disk.Unlock()
	return n.end-uint64(len(n.queue)) >= seq
}

// keepState keeps what a restart restores, and what the roster has to write.
func (n *modelNode) keepState(m outbox.Message) {
	body, err := event.Parse(m.Data)
	if err != nil {
		n.w.t.Fatal(err)
	}
	if a, ok := body.(*event.NodeLostMessage); ok {
		n.alerts = append(n.alerts, message.NewNodeAlert(a))
		n.w.announcements[m.ID] = announcement{n, time.Now()}
	}
	if c, ok := body.(*event.StatusChangeMessage); ok && m.Subject == event.Prefix("p").StatusChange(c.StatusChange.AgentID) {
		n.states[c.StatusChange.AgentID] = &c.StatusChange
		n.roster = append(n.roster, c.AgentState())
	}
}

// forwardMessages sends the messages in order, one after the other: each is stored by the
// platform, whose answer may be lost.
func (n *modelNode) forwardMessages() {
	if !n.linked || !n.w.serverUp {
		if !n.sending.IsZero() && n.w.r.IntN(2) == 0 { // it has arrived, and nobody knows
			n.w.storeOnce(n.queue[0])
		}
		n.sending = time.Time{}
		return
	}
	for _, s := range n.roster {
		if old, ok := n.w.bucket[s.AgentID]; !ok || s.Supersedes(&old) {
			n.w.bucket[s.AgentID] = s
		}
	}
	n.roster = nil
	for len(n.queue) > 0 && !n.stuck.Load() {
		if n.sending.IsZero() {
			n.sending = time.Now()
		}
		if time.Since(n.sending) < n.delay {
			return
		}
		n.w.storeOnce(n.queue[0])
		n.disk.Lock()
		n.queue, n.sending = n.queue[1:], time.Time{}
		n.disk.Unlock()
	}
}

// report reports what the node sees of an agent.
func (n *modelNode) report(id detector.AgentID, k detector.Kind, token uint32) {
	n.fleet.Report(detector.Sighting{At: n.node.clock.Now(), ID: id, Kind: k, Token: token, Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(id)})})
}

// modelLink is the link to the simulated agents.
type modelLink struct{ n *modelNode }

var errNoConn = errors.New("the agent has no connection")

func (l *modelLink) KeepAlive(id detector.AgentID, token uint32) error {
	return l.n.w.askAgent(l.n, id, token)
}
func (l *modelLink) OnDecision(*message.Record)                          {}
func (l *modelLink) OnCondition(*event.NodeCondition)                    {}
func (l *modelLink) OnSilence(silencer.Change, *silence.Silence, string) {}
func (l *modelLink) Run(context.Context)                                 {}
func (l *modelLink) Close()                                              {}
func (l *modelLink) Addr() (a netip.AddrPort)                            { return a }
func (l *modelLink) Status() (s Link)                                    { return s }

func (l *modelLink) Identify(detector.AgentID) (f fleet.Identity) { return f }

func (l *modelLink) OnClusterAlert(*message.ClusterAlert) {}
