package cluster

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/seal"
)

// Config is what a view needs.
type Config struct {
	Node    string         // this node's name
	Epoch   uint64         // above that of the node's runs before
	Started time.Time      // of this Pulse
	Role    ownership.Role // of its manager
	Version string         // of Pulse
	Remote  *remote.Remote // a connection of the view's own
	Signer  *seal.Signer   // with the node's signing key, whose public key is in PULSE_KEYS
	// Restored are the agents that were here by the last messages of this node's run before this
	// one, each with the order of its message: see [View.StatementOrder].
	Restored []ownership.Restored
	Beat     time.Duration // between two beats, 0 for 4 s: all nodes have the same, and tests a shorter one

	// OnEvent gets what happens to agents and nodes, in order, OnLoaded is called each time
	// that everything has been read, and OnConnection gets whether this node is cut off from
	// the shared view. They must return soon, and may call the view's methods. Nil for nobody.
	OnEvent      func(ownership.Event)
	OnLoaded     func()
	OnConnection func(cutOff bool)

	Log *slog.Logger // nil for slog.Default()
}

// timing has the waits that tests shorten.
type timing struct {
	beat    time.Duration // between two beats; a node is lost after ownership.SilentBeats+1 of them
	cutOff  time.Duration // without an acknowledged beat: this node is cut off
	answer  time.Duration // for one answer of the server
	retry   time.Duration // after a failure
	check   time.Duration // between two checks whether the bucket has lost records
	keyWait time.Duration // between two looks for public keys
	away    time.Duration // for this long, and the whole bucket is read again
}

// absence is how long a node is silent before others may find it so.
func (t *timing) absence() time.Duration { return (ownership.SilentBeats - 1) * t.beat }

// BeatPeriod is the time between two beats of a node.
const BeatPeriod = 4 * time.Second

var defaultTiming = timing{beat: BeatPeriod, cutOff: 10 * time.Second, answer: 5 * time.Second, retry: 2 * time.Second,
	check: time.Minute, keyWait: 5 * time.Second, away: ownership.LeavingTime / 2}

// timingOf returns the waits for beats of a time.
func timingOf(beat time.Duration) timing {
	t := defaultTiming
	if beat > 0 {
		t.beat, t.cutOff, t.retry, t.check, t.keyWait = beat, 5*beat/2, beat/2, 15*beat, 5*beat/4
	}
	return t
}

// View is the shared view as this node has it. See [Open].
type View struct {
	cfg    Config
	log    *slog.Logger
	timing timing
	start  time.Time
	signer signer
	queued chan struct{} // there is something to store
	beatIn chan struct{} // a beat is to be stored now
	stop   context.CancelFunc
	runs   sync.WaitGroup

	refusals logonce.Limiter
	stats    counters

	mu       sync.RWMutex
	member   *ownership.Member
	pending  []ownership.Event // for OnEvent
	good     time.Time         // when a beat was acknowledged last
	lastGood time.Time         // when the one before was
	cutOff   bool
	loaded   bool // everything has been read
	created  time.Time
	returned uint64                       // the verdict about this node that was an event
	problem  string                       // why there is no bucket
	known    bool                         // all agents of this node have been claimed
	away     bool                         // others may have found this node silent
	before   time.Time                    // when a beat was acknowledged last before that; zero if none was
	stored   time.Time                    // of this node's latest beat, by the server's clock
	restored map[ownership.AgentID]uint64 // orders of messages of the run before, until everything has been read
	seen     map[string]time.Time         // when a sign of life of each node was read last
}

// counters are the counts of a view.
type counters struct {
	read, stored, failed, refused, replayed, rereads, falseHints, requests atomic.Uint64
}

// Open starts to keep the view. It is no error if the server cannot be reached.
func Open(cfg Config) (*View, error) { return open(cfg, timingOf(cfg.Beat)) }

func open(cfg Config, t timing) (*View, error) {
	if !ownership.IsNodeName(cfg.Node) {
		return nil, fmt.Errorf("open the shared view: node name %.60q", cfg.Node)
	}
	if cfg.Signer == nil {
		return nil, errors.New("open the shared view: records have to be signed (<nats><message_signing>)")
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	v := &View{cfg: cfg, log: cfg.Log.With("component", "cluster"), timing: t, start: time.Now(),
		signer: signer{cfg.Node, cfg.Signer, keyIDOf(cfg.Signer.Key())}, queued: make(chan struct{}, 1), beatIn: make(chan struct{}, 1), seen: make(map[string]time.Time)}
	v.good, v.away = v.start, true
	v.member = ownership.NewMember(cfg.Node, cfg.Epoch, func(e ownership.Event) { v.pending = append(v.pending, e) })
	v.member.Restore(cfg.Restored)
	v.restored = make(map[ownership.AgentID]uint64)
	for _, r := range cfg.Restored {
		v.restored[r.Agent] = r.Order
	}
	var ctx context.Context
	ctx, v.stop = context.WithCancel(context.Background())
	v.runs.Go(func() { v.run(ctx) })
	v.runs.Go(func() { v.watchConnection(ctx) })
	return v, nil
}

// Close ends the view. What is not stored yet is not.
func (v *View) Close() {
	v.stop()
	v.runs.Wait()
}

func (v *View) now() time.Duration { return time.Since(v.start) }

// run keeps the view in one session after the other.
func (v *View) run(ctx context.Context) {
	var condition logonce.Condition
	for ctx.Err() == nil {
		s, err := v.cfg.Remote.Session(ctx)
		if err != nil {
			return // of ctx
		}
		err = v.serveSession(ctx, s, func() {
			v.setProblem(nil)
			if condition.Set(nil) {
				v.log.Info("the shared view of the cluster is kept")
			}
		})
		if ctx.Err() != nil {
			return
		}
		if !s.Conn.IsClosed() { // else its owner has logged that
			v.setProblem(err)
			if condition.Set(err) {
				v.log.Warn("the shared view of the cluster is not kept; this node goes on by what it sees itself", "err", err)
			}
		}
		select {
		case <-time.After(v.timing.retry):
		case <-ctx.Done():
		}
	}
}

func (v *View) setProblem(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.problem = ""; err != nil {
		v.problem = err.Error()
	}
}

// deliverEvents passes on what has happened. Only the session's reader calls it.
func (v *View) deliverEvents() {
	v.mu.Lock()
	events := v.pending
	v.pending = nil
	v.mu.Unlock()
	if v.cfg.OnEvent == nil {
		return
	}
	for _, e := range events {
		v.cfg.OnEvent(e)
	}
}

// Claim records a sign of life of an agent on this node. It returns where the agent was
// before: see [ownership.Member.RecordSighting].
func (v *View) Claim(s ownership.Sighting) ownership.Arrival {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.member.SetTime(v.now())
	a := v.member.RecordSighting(&s)
	v.signalQueued()
	return a
}

// Depart records that an agent has left this node, at a Unix time.
func (v *View) Depart(id ownership.AgentID, reason ownership.Reason, since uint32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.member.RecordDeparture(id, reason, since)
	v.signalQueued()
}

// DeclareLost records that an agent of another node, which is lost, is lost too. It is
// withdrawn when that node is back.
func (v *View) DeclareLost(id ownership.AgentID, node string, since uint32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.member.RecordLossFor(id, node, since)
	v.signalQueued()
}

// CompleteClaims reports that this node has claimed all agents that it has: others that it
// had in a run before have left.
func (v *View) CompleteClaims() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known = true
	v.departUnknown()
}

// departUnknown records as removed the agents that the bucket has as being on this node, and that
// it does not have, and returns how many. The lock is held.
func (v *View) departUnknown() (departed int) {
	if v.known && v.loaded {
		departed = v.member.Own.DepartUnknown(v.member.State, uint32(time.Now().Unix()))
		v.replaceRefused()
		v.signalQueued()
	}
	return departed
}

// departUnclaimed does the same while this node runs. The lock is held.
func (v *View) departUnclaimed() {
	if !v.member.HasUnclaimed() {
		return
	}
	if n := v.departUnknown(); n > 0 {
		v.log.Warn("the cluster's bucket had claims in this node's name, signed with its key, that it has not made: they are withdrawn", "agents", n)
	}
}

// replaceRefused has this node's records stored again that the bucket has and that are not
// valid. The lock is held.
func (v *View) replaceRefused() {
	if !v.loaded {
		return
	}
	if n := v.member.ReplaceRefused(v.known, uint32(time.Now().Unix())); n > 0 {
		v.log.Warn("the cluster's bucket had records of this node that are not valid: they are replaced", "records", n)
		v.signalQueued()
	}
}

// requeueUnread has this node's records stored again that somebody has removed before this node
// has read them. The lock is held.
func (v *View) requeueUnread() {
	if n := v.member.RequeueUnread(); n > 0 {
		v.log.Warn("the cluster's bucket has lost records of this node: they are stored again", "records", n)
		v.signalQueued()
	}
}

// signalQueued wakes the writer if there is something to store.
func (v *View) signalQueued() {
	if !v.member.HasWrites() {
		return
	}
	select {
	case v.queued <- struct{}{}:
	default:
	}
}

// ConfirmNodeLost reports that this node has announced the loss of another, whose last beat
// had an order.
func (v *View) ConfirmNodeLost(node string, beat uint64) {
	v.mu.Lock()
	v.member.ConfirmNodeLost(node, beat)
	v.mu.Unlock()
	v.storeBeatNow()
}

// ConfirmReturn reports that this node has announced its return, after the verdict with an order.
func (v *View) ConfirmReturn(order uint64) {
	v.mu.Lock()
	v.member.ConfirmReturn(order)
	v.away = false
	v.mu.Unlock()
	v.storeBeatNow()
}

func (v *View) storeBeatNow() {
	select {
	case v.beatIn <- struct{}{}:
	default:
	}
}

// Status is the state of a view.
type Status struct {
	CutOff     bool      // no beat was acknowledged for some seconds
	Loaded     bool      // everything that the bucket has was read
	Since      time.Time // when a beat was acknowledged last
	Problem    string    // why the view is not kept; "" if it is, or the server is away
	Position   uint64    // the order of the latest record
	Agents     int       // of this node
	Queued     int       // claims to be stored
	Claims     int       // of all nodes
	Bytes      int       // of memory that they take
	Read       uint64    // records
	Stored     uint64    // records
	Failed     uint64    // records that were not stored at once
	Refused    uint64    // values that were not signed as they have to be
	Replayed   uint64    // records that were refused
	Rereads    uint64    // of the whole bucket
	FalseHints uint64    // of nodes about records that are not there
	Requests   uint64    // for records
}

// Status returns the present state.
func (v *View) Status() Status {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := Status{CutOff: v.cutOff, Loaded: v.loaded, Since: v.good, Problem: v.problem, Position: v.member.State.Position(), Read: v.stats.read.Load(),
		Stored: v.stats.stored.Load(), Failed: v.stats.failed.Load(), Refused: v.stats.refused.Load(), Replayed: v.stats.replayed.Load(), Rereads: v.stats.rereads.Load(),
		FalseHints: v.stats.falseHints.Load(), Requests: v.stats.requests.Load()}
	s.Agents, s.Queued = v.member.Own.Counts()
	s.Bytes, s.Claims = v.member.State.Bytes()
	return s
}
