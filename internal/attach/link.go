// Package attach is the link on which a stock Wazuh manager of the same host has the
// agents: Pulse reads of them in the manager's database, reaches them through the
// manager's own sockets, and writes back what it finds out.
//
// What it asks of the manager is bounded and paced: one connection to wazuh-db, no more
// requests in remoted's pool than it may have (and fewer while remoted is slow), each
// frame written whole. What the manager answers is bounded and checked. It needs no more
// than the rights of the manager's group.
//
// A [Link] has these parts, each with a goroutine of its own that [Link.Run] waits for:
//
//   - the tracker owns what is known of the agents. The next four send it events, and
//     it reports to the detector and has agents probed;
//   - the dbReader reads the agents and their signs of life in wazuh-db;
//   - the prober sends requests to agents, each in a goroutine that ends when remoted
//     answers;
//   - the remotedMonitor checks whether remoted answers, and since when it runs;
//   - the connWatcher finds out when agents' connections end;
//   - the notifier sends keep-alives without an answer, through remoted's queue for
//     active responses;
//   - the statusWriter writes losses into wazuh-db and raises Wazuh's own alert;
//   - the eventSender sends Pulse's own events to wazuh-analysisd;
//   - the locator asks a worker's master where agents are, while the worker is cut off from
//     what the nodes of the cluster share.
//
// All methods of a Link may be called concurrently.
package attach

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clusterd"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/tcpclose"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// databaseTimeout is how long wazuh-db may take to answer.
const databaseTimeout = 10 * time.Second

// Config is which manager to attach to, and how.
type Config struct {
	Home         string // the manager's directory
	Cluster      wazuhdb.ClusterRole
	Shared       SharedView      // of the nodes of a cluster; nil if they share nothing
	Method       detector.Method // of keep-alives
	MaxInFlight  int             // requests that remoted may have to serve for Pulse at once; at most a quarter of its pool is used
	Grace        time.Duration   // from a closed connection to a loss; meanwhile the agent is probed
	Timeout      time.Duration   // of silence, after which an agent is away
	UpdateStatus bool            // write losses into the manager's database, and raise its alert
	Clock        *detector.Clock
	Fleet        Fleet
	Log          *slog.Logger

	hold         time.Duration // of agents that vanish together; 0 for removalHold
	wall         wallClock     // for tests
	restartGrace time.Duration // 0 for restartGrace
	polls        bool          // do not have the kernel announce the ends of connections; for tests
}

// Link is the link to a manager's agents.
type Link struct {
	cfg         Config
	db          *wazuhdb.Client
	remoted     *remoted.Client
	tracker     *tracker
	reader      *dbReader
	prober      *prober
	monitor     *remotedMonitor
	notifier    *notifier
	writer      *statusWriter // nil if nothing is to be written
	events      *eventSender  // nil if nothing is to be written, and with Wazuh 5
	connWatcher *connWatcher
	locator     *locator
	clusterd    activityReader
	coarse      coarseNodes // nodes whose Pulse is gone
	conditions  *conditions
}

// Open returns the link to the manager in cfg.Home. The manager has to be installed
// there and its sockets reachable; if it does not run, Run waits for it.
func Open(cfg Config) (*Link, error) {
	if err := CheckHome(cfg.Home); err != nil {
		return nil, err
	}
	h := wazuhsock.Home(cfg.Home)
	if err := checkMethod5(h, cfg.Method); err != nil {
		return nil, err
	}
	if !cfg.Cluster.IsClustered() {
		cfg.Shared = nil
	}
	cfg.Cluster.Shared = cfg.Shared != nil
	l := &Link{cfg: cfg, db: wazuhdb.NewClient(h, cfg.Cluster, databaseTimeout), remoted: remoted.NewClient(h), conditions: newConditions(cfg.Log)}
	events, index, ports, absences := make(eventQueue), new(agentIndex), new(portSet), newAbsences(cfg.wall)
	passive := newPassiveAgents(h, cfg.Cluster)
	l.prober = newProber(l.remoted, events, index, &cfg)
	l.monitor = newRemotedMonitor(l.remoted, events)
	l.reader = newDBReader(l.db, l.remoted, events, &cfg, l.conditions)
	l.connWatcher = &connWatcher{tcp: &tcpclose.Watcher{Poll: cfg.polls, Log: cfg.Log}, ports: ports, index: index, fleet: cfg.Fleet, events: events, opens: cfg.Cluster.Shared}
	l.notifier = newNotifier(h, index, &cfg, l.conditions)
	owners := newOwners(cfg.Cluster, cfg.Shared)
	client := clusterd.NewClient(h, locateTimeout)
	l.locator, l.clusterd = newLocator(client, &cfg, events, h.IsWazuh5()), client
	if cfg.UpdateStatus && !h.IsWazuh5() {
		l.events = newEventSender(h, l.conditions, cfg.Log)
	}
	if cfg.writesLosses() {
		l.writer = newStatusWriter(l.db, h, absences, &cfg, l.conditions)
		l.writer.index, l.writer.passive = index, passive
		if h.IsWazuh5() {
			logManagerVersion5(cfg.Log)
		}
		if text := clusterWriteCaution(cfg.Cluster); text != "" {
			cfg.Log.Warn(text, "hint", cautionHint)
		}
	}
	l.tracker = &tracker{events: events, clock: cfg.Clock, fleet: cfg.Fleet, log: cfg.Log, conditions: l.conditions, wall: cfg.wall,
		remoted: l.remoted, prober: l.prober, monitor: l.monitor, reader: l.reader, writer: l.writer, index: index, absences: absences, ports: ports, passive: passive, owners: owners, locator: l.locator, nodes: &l.coarse,
		maxInFlight: cfg.MaxInFlight, timeout: cfg.Timeout, holdTime: cmp.Or(cfg.hold, removalHold), restartGrace: cmp.Or(cfg.restartGrace, restartGrace),
		warnings: newRowWarnings(cfg.Log)}
	return l, nil
}

// writesLosses reports whether losses are written into the database: not on a worker whose
// master's node writes them for all.
func (c *Config) writesLosses() bool {
	return c.UpdateStatus && !(c.Cluster.Worker && c.Shared != nil)
}

// Run watches the manager's agents until ctx ends, and then closes all connections.
func (l *Link) Run(ctx context.Context) {
	var work sync.WaitGroup
	parts := []func(context.Context){l.tracker.runTracker, l.monitor.runMonitor, l.reader.runReader, l.prober.runProber, l.notifier.runNotifier, l.connWatcher.runWatcher}
	if l.writer != nil {
		parts = append(parts, l.writer.runWriter)
	}
	if l.events != nil {
		parts = append(parts, l.events.runSender)
	}
	if l.locator.enabled {
		parts = append(parts, l.locator.runLocator)
	}
	for _, part := range parts {
		work.Go(func() { part(ctx) })
	}
	work.Wait()
	l.db.Close()
}

// KeepAlive queues the keep-alive with a token to an agent. It does not wait.
func (l *Link) KeepAlive(id detector.AgentID, token uint32) error {
	if l.cfg.Method != detector.Request {
		return l.notifier.queueKeepAlive(id)
	}
	l.prober.queueKeepAlive(id, token)
	return nil
}

// OnDecision handles a decision about an agent. It does not wait.
func (l *Link) OnDecision(d *detector.Decision) {
	switch d.Verdict {
	case detector.MovedAway:
		l.tracker.owners.releaseAgent(d.ID)
		if l.writer != nil {
			l.writer.cancelTask(d.ID)
		}
	case detector.Changed:
		l.handleChange(d)
	case detector.AlertReleased, detector.Escalated:
		if l.writer != nil {
			l.writer.releaseAlert(d)
		}
	}
}

// WriteLoss has the loss of an agent of another node written, at the master, unless the
// database contradicts it: the agent was lost at a time, and seen last at another. It does
// not wait.
func (l *Link) WriteLoss(id detector.AgentID, at, seen time.Time) {
	l.tracker.owners.recordDeparture(id)
	if l.writer != nil {
		l.writer.addForeignLoss(id, at, seen)
	}
}

// CancelLoss cancels what WriteLoss has begun: a node has the agent. It does not wait.
func (l *Link) CancelLoss(id detector.AgentID) {
	if l.writer != nil {
		l.writer.cancelForeignLoss(id)
	}
}

// QueueEvent queues an event for wazuh-analysisd, which format returns when it is sent. If
// nothing is to be written at the manager, there are no events. It does not wait.
func (l *Link) QueueEvent(format func() string) {
	if l.events != nil {
		l.events.queueEvent(format)
	}
}

// handleChange handles a change of an agent's status.
func (l *Link) handleChange(d *detector.Decision) {
	if d.To == detector.Disconnected {
		l.prober.cancelQueuedProbes(d.ID)
	}
	if d.To == detector.Disconnected && (d.Reason.IsLoss() || d.Reason == detector.AgentShutdown) {
		at := d.At
		if d.Reason.IsLoss() {
			at = lossProvenAt(l.tracker.index, d.ID, d.At, d.LastSeen, d.Seen)
		}
		l.tracker.absences.beginAbsence(d.ID, time.Now().Add(-l.cfg.Clock.Now().Sub(at)), true)
	}
	if l.writer != nil {
		l.writer.addStatusTask(d)
	}
}

// Close closes a link that did not run. It has nothing open.
func (l *Link) Close() {}

// clusterWriteCaution returns what should be known where losses are written in a cluster;
// empty if there is nothing.
func clusterWriteCaution(role wazuhdb.ClusterRole) string {
	if !role.Worker || role.Shared {
		return ""
	}
	return "a worker is not notified when an agent moves to another node: the agent counts as lost, also in the master's database, until the master has its new node"
}

// cautionHint is what can be done about it.
const cautionHint = "where agents change nodes, as behind a load balancer, give all nodes one NATS server with the cluster's bucket (<server_url>, pulse provision --cluster); " +
	"without one set <update_status> to no on workers"
