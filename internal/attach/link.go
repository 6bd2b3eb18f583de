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
	cfg      Config
	db       *wazuhdb.Client
	remoted  *remoted.Client
	watch    *watch
	asker    *asker
	beat     *beat
	teller   *teller
	scribe   *scribe // nil if nothing is to be written
	door     *door
	troubles *troubles
	active   atomic.Int64
}

// Open returns the link to the manager in cfg.Home. That it runs is not asked
// for: Run waits for it. That it lives there, and that we may speak to it, is.
func Open(cfg Config) (*Link, error) {
	if err := Find(cfg.Home); err != nil {
		return nil, err
	}
	h := wazuhsock.Home(cfg.Home)
	l := &Link{cfg: cfg, troubles: &troubles{log: cfg.Log, now: make(map[string]string)},
		db: wazuhdb.NewClient(h, cfg.Cluster, databaseTimeout), remoted: remoted.NewClient(h)}
	b := new(book)
	l.asker = &asker{send: l.remoted.RequestState, clock: cfg.Clock, fleet: cfg.Fleet, log: cfg.Log, grace: cfg.Grace, network: b.network,
		kick: make(chan struct{}, 1), rate: rate.NewLimiter(askRate, askBurst), said: make(map[string]bool),
		asked: make(map[detector.AgentID]*asked), halted: true}
	l.asker.limit(max(min(cfg.MaxInFlight, remoted.DefaultPool/poolShare), 1), remoted.DefaultResponseTimeout)
	l.beat = &beat{client: l.remoted, asker: l.asker, fleet: cfg.Fleet, said: l.troubles, log: cfg.Log, most: cfg.MaxInFlight, period: beatPeriod, grace: cmp.Or(cfg.restartGrace, restartGrace),
		look: make(chan struct{}, 1)}
	l.watch = &watch{db: l.db, soon: make(chan struct{}, 1), clock: cfg.Clock, fleet: cfg.Fleet, period: watchPeriod, timeout: cfg.Timeout, log: cfg.Log, said: l.troubles,
		asker: l.asker, book: b, reset: l.beat.restarted, undone: l.undone, active: func(n int) { l.active.Store(int64(n)) },
		skips: newSkips(cfg.Log), hold: cmp.Or(cfg.hold, removalHold), wall: cfg.wall, absences: absences{wall: cfg.wall, of: make(map[detector.AgentID]*absence)}}
	l.asker.mark, l.asker.answered, l.asker.notice, l.asker.gone = l.watch.absences.unconnected, l.watch.answered, l.beat.notice, l.beat.hurry
	l.teller = &teller{out: wazuhsock.NewQueue(h.Path(wazuhsock.ARQueue)), method: cfg.Method, name: b.name, said: l.troubles,
		rate: rate.NewLimiter(askRate, askBurst), queue: make(chan detector.AgentID, tellerRoom)}
	if cfg.UpdateStatus {
		l.scribe = &scribe{db: l.db, place: cfg.Cluster, queue: wazuhsock.NewQueue(h.Path(wazuhsock.AnalysisQueue)), grace: cfg.Grace, timeout: cfg.Timeout, secondLook: secondLook, log: cfg.Log, said: l.troubles, clock: cfg.Clock, dead: l.watch.absences.deadSince,
			todo: make(map[detector.AgentID]errand), tried: make(map[detector.AgentID]errand)}
	}
	if text := clusterCaution(cfg.Cluster); text != "" && cfg.UpdateStatus {
		cfg.Log.Warn(text, "way_out", cautionWayOut)
	}
	l.door = &door{serves: l.beat.serves, behind: b.behind, away: l.away, check: l.closed, tcp: &tcpclose.Watcher{Poll: cfg.polls, Log: cfg.Log}}
	return l, nil
}

// closed has an agent looked for whose connection has ended: it is asked, and the
// database too, which knows whether it was shut down.
func (l *Link) closed(id detector.AgentID) {
	l.asker.ended(id)
	l.watch.hurry()
}

// Run watches the manager's agents until ctx ends, and then lets go of the manager.
func (l *Link) Run(ctx context.Context) {
	var work sync.WaitGroup
	parts := []func(context.Context){l.beat.run, l.watch.run, l.asker.run, l.teller.run, l.door.run}
	if l.scribe != nil {
		parts = append(parts, l.scribe.run)
	}
	for _, part := range parts {
		work.Go(func() { part(ctx) })
	}
	work.Wait()
	l.db.Close()
}

// away reports whether an agent is known to be disconnected.
func (l *Link) away(id detector.AgentID) bool {
	now, ok := l.cfg.Fleet.Agent(id)
	return ok && now.Status == detector.Disconnected
}

// KeepAlive sends an agent the keep-alive with a token. It does not wait for it.
func (l *Link) KeepAlive(id detector.AgentID, token uint32) error {
	if l.cfg.Method != detector.Request {
		return l.teller.tell(id)
	}
	l.asker.keepAlive(id, token)
	return nil
}

// Heed hears of what was decided about an agent.
func (l *Link) Heed(d *detector.Decision) {
	if d.Verdict != detector.Changed {
		return
	}
	if d.To == detector.Disconnected {
		l.asker.callOff(d.ID)
	}
	if d.To == detector.Disconnected && (d.Reason.IsLoss() || d.Reason == detector.AgentShutdown) {
		l.watch.absences.begin(d.ID, time.Now().Add(-l.cfg.Clock.Now().Sub(d.At)), true)
	}
	if l.scribe != nil {
		l.scribe.heed(d)
	}
}

// undone has a loss written that an earlier life of the node may not have come to.
func (l *Link) undone(d *detector.Decision) {
	if l.scribe != nil {
		l.scribe.heed(d)
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

// cautionWayOut is what can be done about it.
const cautionWayOut = "where agents change nodes, as behind a load balancer, set <update_status> to no on workers"
