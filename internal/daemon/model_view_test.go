package daemon

import (
	"errors"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/cluster"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// Waits of the simulated view, as of a real one.
const (
	modelBeat   = 4 * time.Second
	modelCutOff = 10 * time.Second
)

// modelEntry is a record in the simulated stream.
type modelEntry struct {
	order  uint64
	key    ownership.Key
	text   string
	stored time.Time
}

// modelStream is the bucket of a cluster: it keeps the latest record of each key.
type modelStream struct {
	entries []modelEntry // in their order; those with a later one of their key stay until compacted
	latest  map[ownership.Key]uint64
	last    uint64
}

func (s *modelStream) store(key ownership.Key, text string) uint64 {
	s.last++
	s.entries = append(s.entries, modelEntry{s.last, key, text, time.Now()})
	s.latest[key] = s.last
	return s.last
}

// compact drops what was replaced: a slow reader never sees it.
func (s *modelStream) compact() {
	kept := s.entries[:0]
	for _, e := range s.entries {
		if s.latest[e.key] == e.order {
			kept = append(kept, e)
		}
	}
	s.entries = kept
}

// modelFlight is a record that is being stored.
type modelFlight struct {
	ownership.Write
	due time.Time
}

// modelView is the shared view over a simulated stream. The world steps it; the node calls
// its other methods.
type modelView struct {
	t      *testing.T
	r      *rand.Rand
	stream *modelStream
	name   string
	start  time.Time

	onEvent  func(ownership.Event)
	onLoaded func()

	mu       sync.RWMutex
	member   *ownership.Member
	pending  []ownership.Event
	loads    bool // of onLoaded
	flights  []modelFlight
	linked   bool
	delay    time.Duration // of a write, and of a replica
	position uint64
	loadUpTo uint64
	lastBeat time.Time
	beatNow  bool
	good     time.Time
	cutOff   bool
	loaded   bool
	known    bool
	away     bool
	returned uint64
	before   time.Time // when a beat was acknowledged last before it was away
	restored []ownership.Restored
}

var _ sharedView = (*modelView)(nil)

func newModelView(t *testing.T, r *rand.Rand, s *modelStream, name string, epoch uint64) *modelView {
	v := &modelView{t: t, r: r, stream: s, name: name, start: time.Now(), good: time.Now(), away: true}
	v.member = ownership.NewMember(name, epoch, func(e ownership.Event) { v.pending = append(v.pending, e) })
	return v
}

// step lets the view go on: linked is whether it reaches the stream.
func (v *modelView) step(linked bool, delay time.Duration) {
	v.mu.Lock()
	now := time.Now()
	v.member.SetTime(now.Sub(v.start))
	switch v.delay = delay; {
	case linked && !v.linked:
		v.beginSession()
	case !linked && v.linked:
		v.endSession()
	}
	v.linked = linked
	if linked {
		v.write(now)
		v.read(now)
		v.completeLoad(now)
	}
	if !v.cutOff && now.Sub(v.good) >= modelCutOff {
		v.cutOff = true
	}
	events, loads := v.pending, v.loads
	v.pending, v.loads = nil, false
	v.mu.Unlock()
	for _, e := range events {
		v.onEvent(e)
	}
	if loads {
		v.onLoaded()
	}
}

func (v *modelView) beginSession() {
	for _, e := range v.stream.entries {
		if r, err := ownership.ParseRecord(e.text); err == nil && e.key == (ownership.Key{Node: v.name, Kind: ownership.BeatRecord}) {
			v.member.AdoptEpoch(r.Stamp.Epoch)
			v.member.AdoptBeat(&r.Beat)
		}
	}
	if v.loaded {
		v.position = v.member.State.Position()
	} else {
		v.position = 0
		v.member.State.BeginReread()
	}
	v.member.AdvanceFrontier(v.stream.last)
	v.member.ResumeReading()
	v.loadUpTo, v.lastBeat = v.stream.last, time.Time{}
}

// endSession loses what is under way: of some records only the answer is lost.
func (v *modelView) endSession() {
	lost := false
	for i := range v.flights {
		f := &v.flights[i]
		if lost = lost || v.r.IntN(2) == 0; !lost {
			v.stream.store(f.Key, string(f.Text))
		}
		v.member.RetryWrite(&f.Write)
	}
	v.flights = nil
}

func (v *modelView) write(now time.Time) {
	due := now.Add(v.delay)
	if n := len(v.flights); n > 0 && v.flights[n-1].due.After(due) {
		due = v.flights[n-1].due
	}
	if v.beatNow || now.Sub(v.lastBeat) >= modelBeat {
		v.beatNow, v.lastBeat = false, now
		v.flights = append(v.flights, modelFlight{v.member.MakeBeat(ownership.Beat{Version: "1", Role: ownership.Listener}), due})
	}
	for _, w := range v.member.TakeWrites(64) {
		v.flights = append(v.flights, modelFlight{w, due})
	}
	for len(v.flights) > 0 && !v.flights[0].due.After(now) {
		f := v.flights[0]
		v.flights = v.flights[1:]
		v.member.ConfirmWrite(&f.Write, v.stream.store(f.Key, string(f.Text)))
		if f.Key.Kind == ownership.BeatRecord {
			if now.Sub(v.good) > (ownership.SilentBeats-1)*modelBeat {
				v.away, v.before = true, v.good
			}
			v.good = now
		}
	}
}

func (v *modelView) read(now time.Time) {
	for _, e := range v.stream.entries {
		if e.order <= v.position {
			continue
		}
		if now.Sub(e.stored) < v.delay { // a replica that is behind
			break
		}
		r, err := ownership.ParseRecord(e.text)
		if err == nil {
			err = v.member.ApplyRecord(e.order, e.key, r)
		}
		if err != nil && !errors.Is(err, ownership.ErrReplayed) {
			v.t.Fatalf("%s reads %v at %d: %q: %v", v.name, e.key, e.order, e.text, err)
		}
		v.position = e.order
	}
	v.checkVerdict()
}

func (v *modelView) checkVerdict() {
	by, order := v.member.State.Return()
	switch {
	case order == 0 || !v.loaded || order == v.returned:
	case v.away:
		v.returned = order
		v.pending = append(v.pending, ownership.Event{Kind: ownership.Returned, Order: order, Node: v.name, Other: by, Beat: v.member.State.ReturnBeat()})
	case v.member.State.OwnBeat() < order: // the next one shows whether it was silent
	default:
		v.member.State.DismissVerdict()
	}
}

func (v *modelView) completeLoad(now time.Time) {
	if v.position < v.loadUpTo && v.stream.last > v.position && v.hasMore() {
		return
	}
	if !v.loaded {
		v.loaded, v.loads = true, true
		v.member.State.EndReread()
		v.member.ReconcileRestored(v.restored)
		v.restored = nil
		v.member.ReconcileStored()
		v.departUnknown()
		v.checkVerdict()
	}
	if v.cutOff && now.Sub(v.good) < modelCutOff {
		v.cutOff = false
	}
}

// hasMore reports whether there is a record to read up to loadUpTo: those before may have
// been replaced.
func (v *modelView) hasMore() bool {
	for _, e := range v.stream.entries {
		if e.order > v.position && e.order <= v.loadUpTo {
			return true
		}
	}
	return false
}

func (v *modelView) departUnknown() {
	if v.known && v.loaded {
		v.member.Own.DepartUnknown(v.member.State, uint32(time.Now().Unix()))
	}
}

func (v *modelView) Claim(s ownership.Sighting) ownership.Arrival {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.member.SetTime(time.Since(v.start))
	return v.member.RecordSighting(&s)
}

func (v *modelView) Depart(id ownership.AgentID, reason ownership.Reason, since uint32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.member.RecordDeparture(id, reason, since)
}

func (v *modelView) DeclareLost(id ownership.AgentID, node string, since uint32) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.member.RecordLossFor(id, node, since)
}

func (v *modelView) CompleteClaims() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.known = true
	v.departUnknown()
}

func (v *modelView) ConfirmNodeLost(node string, beat uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.member.ConfirmNodeLost(node, beat)
	v.beatNow = true
}

func (v *modelView) ConfirmReturn(order uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.member.ConfirmReturn(order)
	v.away, v.beatNow = false, true
}

func (v *modelView) Owner(id ownership.AgentID) (ownership.Owner, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.Owner(id)
}

func (v *modelView) Elsewhere(id ownership.AgentID) (ownership.Owner, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.Elsewhere(id)
}

func (v *modelView) LaterClaim(id ownership.AgentID) (ownership.Owner, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.LaterClaim(id)
}

func (v *modelView) IsHere(id ownership.AgentID) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.IsHere(id)
}

func (v *modelView) Claims(id ownership.AgentID) []ownership.Owner {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.Claims(id)
}

func (v *modelView) PageClaims(list []ownership.Located, n int) ([]ownership.Located, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.PageClaims(list, n)
}

func (v *modelView) PagePlaces(list []ownership.Place, n int) ([]ownership.Place, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.PagePlaces(list, n)
}

func (v *modelView) Locate(list []ownership.Place, agents []ownership.AgentID) []ownership.Place {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.Locate(list, agents)
}

func (v *modelView) Nodes() []ownership.Node {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.Nodes()
}

func (v *modelView) StatementOrder(id ownership.AgentID, here bool) uint64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	order := v.member.StatementOrder(id, here)
	for _, r := range v.restored {
		if r.Agent == id {
			order = max(order, r.Order)
		}
	}
	return order
}

func (v *modelView) DeclaredOrder(id ownership.AgentID) uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.Own.DeclaredOrder(id)
}

func (v *modelView) AwaySince() time.Time {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.before
}

func (v *modelView) SeenAt(string) time.Time { return time.Now() }

func (v *modelView) IsAnnounced(node string, beat uint64) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.member.State.IsAnnounced(node, beat)
}

func (v *modelView) DatedOrder(order uint64) uint64 { return order }

func (v *modelView) IsLoaded() bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.loaded
}

func (v *modelView) Status() cluster.Status {
	v.mu.RLock()
	defer v.mu.RUnlock()
	s := cluster.Status{CutOff: v.cutOff, Loaded: v.loaded, Since: v.good, Position: v.member.State.Position()}
	s.Agents, s.Queued = v.member.Own.Counts()
	return s
}

func (v *modelView) Close() {}
