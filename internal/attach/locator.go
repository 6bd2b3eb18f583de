package attach

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clusterd"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

const (
	// locatePeriod is the time between two questions to the master, and maxLocatePeriod that
	// between two while it does not answer.
	locatePeriod, maxLocatePeriod = 2 * time.Second, time.Minute
	// locateTimeout is how long an answer may take.
	locateTimeout = 10 * time.Second
	// locateWindow is for how long the master is asked where an agent is whose connection
	// has ended, and the agent is not lost: it takes the master's table up to 20 s to show
	// that, and longer if a round is refused.
	locateWindow = 30 * time.Second
)

// locator finds out where agents are whose connection to a worker has ended while the worker
// is cut off from what the nodes share. The master's database has it, which wazuh-clusterd
// lets a worker read. Its methods may be called concurrently.
type locator struct {
	client  locationReader
	node    string
	shared  SharedView
	events  eventQueue
	period  time.Duration
	enabled bool // on a worker whose rows name nodes
	wake    chan struct{}

	mu      sync.Mutex
	waiting map[detector.AgentID]*locating

	asked, found, failed atomic.Int64
}

// locationReader is the part of a clusterd.Client that a locator uses.
type locationReader interface {
	ReadLocations(ctx context.Context, ids []detector.AgentID) ([]clusterd.Location, error)
}

// locating is an agent that is to be found.
type locating struct {
	since     time.Time
	askedAt   time.Time // the zero time before
	first     clusterd.Location
	hasAnswer bool
}

func newLocator(client locationReader, cfg *Config, events eventQueue, wazuh5 bool) *locator {
	return &locator{client: client, node: cfg.Cluster.Node, shared: cfg.Shared, events: events, period: locatePeriod,
		enabled: cfg.Cluster.Worker && cfg.Shared != nil && !wazuh5, wake: make(chan struct{}, 1), waiting: make(map[detector.AgentID]*locating)}
}

// addAgent has an agent found whose connection has ended, and returns for how long, at least,
// it is not lost for that: not at all where the nodes know it of each other.
func (l *locator) addAgent(id detector.AgentID) time.Duration {
	if !l.enabled || l.shared.IsCurrent() {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[id] == nil {
		l.waiting[id] = &locating{since: time.Now()}
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
	return locateWindow
}

// dropAgent ends the search for an agent: it is here.
func (l *locator) dropAgent(id detector.AgentID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, id)
}

// runLocator asks until ctx ends.
func (l *locator) runLocator(ctx context.Context) {
	pause := time.Duration(0)
	timer := time.NewTimer(l.period)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.wake:
			if pause > 0 {
				continue // the timer is set
			}
		case <-ctx.Done():
			return
		}
		pause = l.locateOnce(ctx, pause)
		timer.Reset(cmp.Or(pause, time.Hour))
	}
}

// locateOnce asks once, and returns the time to the next question, 0 for none.
func (l *locator) locateOnce(ctx context.Context, before time.Duration) time.Duration {
	pause := l.period
	ids := l.listNextAgents()
	if len(ids) == 0 {
		return 0
	}
	l.asked.Add(1)
	locations, err := l.client.ReadLocations(ctx, ids)
	if err != nil {
		l.failed.Add(1)
		pause = min(max(2*before, l.period), maxLocatePeriod)
	}
	if found := l.compareLocations(locations); len(found) > 0 {
		l.found.Add(int64(len(found)))
		l.events.sendEvent(ctx, agentsElsewhere{found})
	}
	return pause
}

// listNextAgents returns the agents for one question: those first that have waited longest for
// one. What the nodes know of each other again is not asked.
func (l *locator) listNextAgents() []detector.AgentID {
	isCurrent := l.shared.IsCurrent()
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.waiting, func(_ detector.AgentID, w *locating) bool { return isCurrent || time.Since(w.since) >= locateWindow })
	ids := slices.SortedFunc(maps.Keys(l.waiting), func(a, b detector.AgentID) int {
		return cmp.Or(l.waiting[a].askedAt.Compare(l.waiting[b].askedAt), cmp.Compare(a, b))
	})
	ids = ids[:min(len(ids), clusterd.MaxIDs)]
	for _, id := range ids {
		l.waiting[id].askedAt = time.Now()
	}
	return ids
}

// compareLocations returns the agents that are on another node: the master's row names
// another one than before, or goes on moving with another one. Its times are the master's.
func (l *locator) compareLocations(locations []clusterd.Location) (found []detector.AgentID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range locations {
		w := l.waiting[at.Agent]
		if w == nil {
			continue
		}
		if !w.hasAnswer {
			w.first, w.hasAnswer = at, true
			continue
		}
		if at.Node != l.node && at.IsConnected() && (at.Node != w.first.Node || at.KeepAlive > w.first.KeepAlive) {
			found = append(found, at.Agent)
			delete(l.waiting, at.Agent)
		}
	}
	return found
}

// applyElsewhere gives up agents that are on other nodes by the master's database.
func (t *tracker) applyElsewhere(e agentsElsewhere) {
	for _, id := range e.agents {
		t.fleet.ReleaseMember(id)
		t.owners.releaseAgent(id)
	}
	t.dropReleased()
}
