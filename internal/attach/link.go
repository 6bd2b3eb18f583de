package attach

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/tcpclose"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
	"golang.org/x/time/rate"
)

// databaseTimeout is how long wazuh-db may take to answer.
const databaseTimeout = 10 * time.Second

// Config says which manager to attach to, and how.
type Config struct {
	Home         string // the manager's directory
	Cluster      wazuhdb.ClusterRole
	Method       detector.Method // of keep-alives
	MaxInFlight  int             // requests that remoted may have to serve for us at once; at most a quarter of its pool is used
	Grace        time.Duration   // from a closed connection to a loss: for so long the agent is looked for
	Timeout      time.Duration   // an agent that was silent for so long is away
	UpdateStatus bool            // write losses into the manager's database, and raise its alert
	Clock        *detector.Clock
	Fleet        Fleet
	Log          *slog.Logger

	hold         time.Duration // of agents that vanish together; 0 for removalHold
	wall         wallClock     // tests set it
	restartGrace time.Duration // 0 for restartGrace
	polls        bool          // do not have the kernel announce the ends of connections; tests set it
}

// Link is the way to a manager's agents.
type Link struct {
	cfg         Config
	db          *wazuhdb.Client
	remoted     *remoted.Client
	watch       *dbWatcher
	prober      *prober
	monitor     *remotedMonitor
	notifier    *notifier
	writer      *statusWriter // nil if nothing is to be written
	connWatcher *connWatcher
	conditions  *conditions
	active      atomic.Int64
}

// Open returns the link to the manager in cfg.Home. That it runs is not asked
// for: Run waits for it. That it lives there, and that we may speak to it, is.
func Open(cfg Config) (*Link, error) {
	if err := CheckHome(cfg.Home); err != nil {
		return nil, err
	}
	h := wazuhsock.Home(cfg.Home)
	l := &Link{cfg: cfg, conditions: &conditions{log: cfg.Log, errors: make(map[string]string)},
		db: wazuhdb.NewClient(h, cfg.Cluster, databaseTimeout), remoted: remoted.NewClient(h)}
	b := new(agentIndex)
	l.prober = &prober{send: l.remoted.RequestState, clock: cfg.Clock, fleet: cfg.Fleet, log: cfg.Log, grace: cfg.Grace, networkOf: b.networkOf,
		kick: make(chan struct{}, 1), rate: rate.NewLimiter(requestRate, requestBurst), loggedErrors: make(map[string]bool),
		probes: make(map[detector.AgentID]*probeState), halted: true}
	l.prober.setLimits(max(min(cfg.MaxInFlight, remoted.DefaultPool/poolShare), 1), remoted.DefaultResponseTimeout)
	l.monitor = &remotedMonitor{client: l.remoted, asker: l.prober, fleet: cfg.Fleet, conditions: l.conditions, log: cfg.Log, maxInFlight: cfg.MaxInFlight, period: checkPeriod, grace: cmp.Or(cfg.restartGrace, restartGrace),
		wake: make(chan struct{}, 1)}
	l.watch = &dbWatcher{db: l.db, wake: make(chan struct{}, 1), clock: cfg.Clock, fleet: cfg.Fleet, period: changesPeriod, timeout: cfg.Timeout, log: cfg.Log, conditions: l.conditions,
		prober: l.prober, index: b, handleReset: l.monitor.handleReset, addTask: l.addTask, setActive: func(n int) { l.active.Store(int64(n)) },
		warnings: newRowWarnings(cfg.Log), holdTime: cmp.Or(cfg.hold, removalHold), wall: cfg.wall, absences: absences{wall: cfg.wall, byAgent: make(map[detector.AgentID]*absence)}}
	l.prober.markUnconnected, l.prober.acceptAnswer, l.prober.checkRestart, l.prober.checkRemoted = l.watch.absences.markUnconnected, l.watch.acceptAnswer, l.monitor.checkRestart, l.monitor.checkSoon
	l.notifier = &notifier{out: wazuhsock.NewQueue(h.Path(wazuhsock.ARQueue)), method: cfg.Method, nameOf: b.nameOf, conditions: l.conditions,
		rate: rate.NewLimiter(requestRate, requestBurst), queue: make(chan detector.AgentID, notifierQueueSize)}
	if cfg.UpdateStatus {
		l.writer = &statusWriter{db: l.db, role: cfg.Cluster, queue: wazuhsock.NewQueue(h.Path(wazuhsock.AnalysisQueue)), grace: cfg.Grace, timeout: cfg.Timeout, recheckAfter: recheckDelay, log: cfg.Log, conditions: l.conditions, clock: cfg.Clock, isUnconnectedSince: l.watch.absences.isUnconnectedSince,
			tasks: make(map[detector.AgentID]task), unconfirmed: make(map[detector.AgentID]task)}
	}
	if text := clusterCaution(cfg.Cluster); text != "" && cfg.UpdateStatus {
		cfg.Log.Warn(text, "hint", cautionHint)
	}
	l.connWatcher = &connWatcher{isAgentPort: l.monitor.isAgentPort, agentsAt: b.agentsAt, isDisconnected: l.isDisconnected, probe: l.handleClosed, tcp: &tcpclose.Watcher{Poll: cfg.polls, Log: cfg.Log}}
	return l, nil
}

// handleClosed has an agent looked for whose connection has ended: it is asked, and the
// database too, which knows whether it was shut down.
func (l *Link) handleClosed(id detector.AgentID) {
	l.prober.handleClosed(id)
	l.watch.readSoon()
}

// Run watches the manager's agents until ctx ends, and then lets go of the manager.
func (l *Link) Run(ctx context.Context) {
	var work sync.WaitGroup
	parts := []func(context.Context){l.monitor.runMonitor, l.watch.runWatcher, l.prober.runProber, l.notifier.runNotifier, l.connWatcher.runWatcher}
	if l.writer != nil {
		parts = append(parts, l.writer.runWriter)
	}
	for _, part := range parts {
		work.Go(func() { part(ctx) })
	}
	work.Wait()
	l.db.Close()
}

// isDisconnected reports whether an agent is known to be disconnected.
func (l *Link) isDisconnected(id detector.AgentID) bool {
	now, ok := l.cfg.Fleet.Agent(id)
	return ok && now.Status == detector.Disconnected
}

// KeepAlive sends an agent the keep-alive with a token. It does not wait for it.
func (l *Link) KeepAlive(id detector.AgentID, token uint32) error {
	if l.cfg.Method != detector.Request {
		return l.notifier.queueKeepAlive(id)
	}
	l.prober.queueKeepAlive(id, token)
	return nil
}

// OnDecision hears of what was decided about an agent.
func (l *Link) OnDecision(d *detector.Decision) {
	if d.Verdict != detector.Changed {
		return
	}
	if d.To == detector.Disconnected {
		l.prober.cancelProbes(d.ID)
	}
	if d.To == detector.Disconnected && (d.Reason.IsLoss() || d.Reason == detector.AgentShutdown) {
		l.watch.absences.beginAbsence(d.ID, time.Now().Add(-l.cfg.Clock.Now().Sub(d.At)), true)
	}
	if l.writer != nil {
		l.writer.addTask(d)
	}
}

// addTask has a loss written that an earlier life of the node may not have come to.
func (l *Link) addTask(d *detector.Decision) {
	if l.writer != nil {
		l.writer.addTask(d)
	}
}

// Close is for a link that did not run: it holds nothing.
func (l *Link) Close() {}

// clusterCaution is what whoever has losses written in a cluster should know; empty if
// there is nothing.
func clusterCaution(role wazuhdb.ClusterRole) string {
	if !role.Worker {
		return ""
	}
	return "a worker is not told when an agent moves to another node: such an agent is taken for lost, also in the master's database, until the master hears of it"
}

// cautionHint is what can be done about it.
const cautionHint = "where agents change nodes, as behind a load balancer, set <update_status> to no on workers"
