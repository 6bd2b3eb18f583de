package ownership

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// Times of the simulated cluster, in ticks of a second.
const (
	signPeriod  = 5  // between two signs of life of an agent
	beatPeriod  = 4  // between two beats of a node
	graceTicks  = 12 // after an agent's connection has ended
	silentTicks = 25 // without a sign of life of an agent
	lostTicks   = 20 // after the loss of a node: its agents are lost too
	maxDelay    = 2  // of a write, and of a replica behind its leader
)

// entry is a record in the simulated stream.
type entry struct {
	order uint64
	key   Key
	text  string
}

// simStream keeps the latest record of each key.
type simStream struct {
	entries []entry // in their order; those with a later one of their key stay until compacted
	latest  map[Key]uint64
	last    uint64
	made    int // which stream it is
}

func (s *simStream) store(key Key, text string) uint64 {
	s.last++
	s.entries = append(s.entries, entry{s.last, key, text})
	s.latest[key] = s.last
	return s.last
}

// compact drops what was replaced: a slow reader never sees it.
func (s *simStream) compact() {
	kept := s.entries[:0]
	for _, e := range s.entries {
		if s.latest[e.key] == e.order {
			kept = append(kept, e)
		}
	}
	s.entries = kept
}

// simAgent is the truth about an agent.
type simAgent struct {
	id    AgentID
	home  *simNode // where it is connected; nil for nowhere
	alive bool
	came  bool // it has not said so to its home
	phase int
	moved int // the tick
	told  told
}

// told is what the last message about an agent says that is not about a node's own loss of it.
type told struct {
	lost bool // with its node
	by   moment
}

// flight is a write that is under way.
type flight struct {
	write Write
	due   int
}

// local is what a node's own detector knows of an agent.
type local struct {
	lastSign int
	closed   int // the tick at which its connection ended; 0 for not
}

type simNode struct {
	w         *world
	name      string
	m         *Member // nil while it is down
	epoch     uint64
	skew      uint32
	down      int // the tick at which it went down; 0 for up
	connected bool
	made      int // the stream that it knows
	position  uint64
	caughtUp  bool
	started   int
	settled   bool   // it has taken up what a run before this one has published
	complete  bool   // it has found out which agents it has
	mustReach uint64 // to have caught up
	rereads   bool
	cutOff    int // the tick at which it was cut off last
	inFlight  []flight
	lastBeat  int
	agents    map[AgentID]*local
	unsent    []AgentID          // messages that they are active wait on its disk
	declared  map[AgentID]string // whose last message of this node is that they are lost with another
	active    map[AgentID]bool   // what its last messages say, over restarts
	lost      map[string]int     // the tick at which it found another node lost
}

// moment is a second on a node.
type moment struct {
	n   *simNode
	now int
}

func (n *simNode) at() moment { return moment{n, n.w.now} }

type announcement struct {
	node string
	beat uint64
}

// world is the truth, the stream, and the nodes that are to find out.
type world struct {
	t           *testing.T
	r           *rand.Rand
	now         int
	stream      simStream
	serverDown  bool
	nodes       []*simNode
	agents      []*simAgent
	announced   map[announcement]int
	announcers  map[announcement][]moment
	failures    []moment // a node was cut off, or died
	removed     bool     // records were removed
	falseLosses int
	duplicates  int
	declared    int // losses of agents with their nodes
}

func newWorld(t *testing.T, seed uint64, nodes, agents int) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 1)), announced: map[announcement]int{}, announcers: map[announcement][]moment{},
		stream: simStream{latest: map[Key]uint64{}}}
	for i := range nodes {
		n := &simNode{w: w, name: fmt.Sprintf("node%02d", i+1), skew: uint32(w.r.IntN(1200)), connected: true}
		w.nodes = append(w.nodes, n)
		n.start()
	}
	for i := range agents {
		w.agents = append(w.agents, &simAgent{id: AgentID(i + 1), home: w.nodes[w.r.IntN(nodes)], alive: true, came: true, phase: w.r.IntN(signPeriod)})
	}
	return w
}

func (n *simNode) start() {
	n.epoch++
	if n.w.r.IntN(3) == 0 { // its state directory is lost
		n.epoch = uint64(n.w.now + 1)
	}
	n.m = NewMember(n.name, n.epoch, n.handleEvent)
	n.agents, n.lost = map[AgentID]*local{}, map[string]int{}
	if n.active == nil {
		n.active, n.declared = map[AgentID]bool{}, map[AgentID]string{}
	}
	n.position, n.inFlight, n.down, n.lastBeat, n.started, n.complete, n.settled = 0, nil, 0, -beatPeriod, n.w.now, false, false
	n.made = n.w.stream.made
	n.resumeSession()
}

func (n *simNode) handleEvent(e Event) {
	switch {
	case e.Kind == DeclaredLost, e.Kind == Misdeclared:
		n.tellActive(e.Agent)
	case e.Kind == NodeBack:
		delete(n.lost, e.Node)
	}
	if e.Kind == NodeLost {
		n.lost[e.Node] = n.w.now
	}
	switch {
	case e.Kind == NodeLost && e.Announce:
		a := announcement{e.Node, e.Beat}
		n.w.announced[a]++
		n.w.announcers[a] = append(n.w.announcers[a], n.at())
		n.lastBeat = -beatPeriod // at once
		n.m.ConfirmNodeLost(e.Node, e.Beat)
	case e.Kind == Duplicated:
		n.w.duplicates++
	}
}

func (n *simNode) resumeSession() {
	for _, e := range n.w.stream.entries { // the epoch of the run before
		if r, err := ParseRecord(e.text); err == nil && e.key == (Key{Node: n.name, Kind: BeatRecord}) {
			n.m.AdoptEpoch(r.Stamp.Epoch)
		}
	}
	if n.made != n.w.stream.made {
		n.m.ForgetStream()
		n.made, n.position, n.rereads = n.w.stream.made, 0, false
	}
	n.caughtUp, n.mustReach = false, n.w.stream.last
	n.m.ResumeReading()
	if n.position > 0 && n.w.now-n.cutOff > 30 || n.rereads {
		n.reread()
	}
}

func (n *simNode) disconnect() {
	if !n.connected {
		return
	}
	n.connected, n.cutOff = false, n.w.now
	n.w.failures = append(n.w.failures, n.at())
	if n.m == nil {
		return
	}
	for _, f := range n.inFlight { // of some, only the answer is lost
		if n.w.r.IntN(2) == 0 && !n.w.serverDown {
			n.w.stream.store(f.write.Key, string(f.write.Text))
		} else {
			break
		}
	}
	for i := range n.inFlight {
		n.m.RetryWrite(&n.inFlight[i].write)
	}
	n.inFlight = nil
}

func (n *simNode) connect() {
	if n.connected || n.w.serverDown {
		return
	}
	n.connected = true
	if n.m != nil {
		n.resumeSession()
	}
}

func (n *simNode) crash() {
	n.m, n.inFlight, n.down = nil, nil, n.w.now
	n.w.failures = append(n.w.failures, n.at())
}

// step lets a second pass on a node.
func (n *simNode) step() {
	if n.m == nil {
		return
	}
	n.m.SetTime(time.Duration(n.w.now) * time.Second)
	n.detect()
	if !n.connected {
		return
	}
	n.forward()
	n.write()
	n.read()
	n.forward()
	n.declareLosses()
}

// tellActive publishes that an agent is active: at once, or when the node is connected.
func (n *simNode) tellActive(id AgentID) {
	n.unsent = append(n.unsent, id)
	delete(n.declared, id)
}

// completeDeclarations has what a run before this one has published, and not recorded.
func (n *simNode) completeDeclarations() {
	for _, id := range slices.Sorted(maps.Keys(n.declared)) {
		node := n.declared[id]
		if _, known := n.m.State.Own(id); known {
			continue
		}
		if o, ok := n.m.State.Owner(id); ok && o.Reason == Here && !o.Lost {
			n.tellActive(id)
		} else {
			n.m.RecordLossFor(id, node, n.clock())
		}
	}
}

func (n *simNode) forward() {
	for _, id := range n.unsent {
		n.w.agents[id-1].told = told{false, n.at()}
	}
	n.unsent = nil
}

// declareLosses records the losses of agents of lost nodes for which this node answers.
func (n *simNode) declareLosses() {
	if !n.caughtUp {
		return
	}
	for _, o := range n.m.State.Nodes() {
		if since, ok := n.lost[o.Name]; !ok || !o.Lost || o.Author != n.name || n.w.now-since < lostTicks {
			continue
		}
		for _, a := range n.w.agents {
			if owner, ok := n.m.State.Owner(a.id); ok && owner.Node == o.Name && owner.Reason == Here && n.agents[a.id] == nil {
				a.told = told{true, n.at()}
				n.declared[a.id] = o.Name
				n.w.declared++
				n.m.RecordLossFor(a.id, o.Name, n.clock())
			}
		}
	}
}

// detect is a simple detector of lost agents.
func (n *simNode) detect() {
	for id, l := range n.agents {
		ended := l.closed > 0 && n.w.now-l.closed > graceTicks
		if !ended && n.w.now-l.lastSign <= silentTicks {
			continue
		}
		delete(n.agents, id)
		delete(n.active, id)
		reason := Lost
		if _, ok := n.m.Elsewhere(id); ok {
			reason = Moved
		} else if a := n.w.agents[id-1]; a.alive && a.home != n {
			n.w.falseLosses++
		}
		n.m.RecordDeparture(id, reason, n.clock())
	}
}

func (n *simNode) clock() uint32 { return 1_800_000_000 + uint32(n.w.now) + n.skew }

func (n *simNode) write() {
	last := n.w.now
	if len(n.inFlight) > 0 {
		last = max(last, n.inFlight[len(n.inFlight)-1].due)
	}
	if n.w.now-n.lastBeat >= beatPeriod {
		n.lastBeat = n.w.now
		n.inFlight = append(n.inFlight, flight{n.m.MakeBeat(Beat{Version: "1"}), last + n.w.r.IntN(maxDelay)})
	}
	last += n.w.r.IntN(maxDelay)
	for _, w := range n.m.TakeWrites(20) {
		n.inFlight = append(n.inFlight, flight{w, last})
	}
	for len(n.inFlight) > 0 && n.inFlight[0].due <= n.w.now {
		f := n.inFlight[0]
		n.inFlight = n.inFlight[1:]
		n.m.ConfirmWrite(&f.write, n.w.stream.store(f.write.Key, string(f.write.Text)))
	}
}

func (n *simNode) read() {
	upTo := n.w.stream.last
	if n.w.r.IntN(3) == 0 { // a replica that is behind
		upTo -= min(upTo, uint64(n.w.r.IntN(5)))
	}
	for _, e := range n.w.stream.entries {
		if e.order <= n.position || e.order > upTo {
			continue
		}
		r, err := ParseRecord(e.text)
		if err == nil {
			err = n.m.ApplyRecord(e.order, e.key, r)
		}
		if err != nil && !errors.Is(err, ErrReplayed) && !errors.Is(err, ErrImpossible) { // of the stream before
			n.w.t.Fatalf("%s reads %v at %d: %q: %v", n.name, e.key, e.order, e.text, err)
		}
		n.position = e.order
	}
	if _, order := n.m.State.Return(); order > 0 {
		n.m.ConfirmReturn(order)
	}
	if !n.caughtUp && n.position >= n.mustReach {
		n.caughtUp = true
		if n.rereads {
			n.rereads = false
			n.m.State.EndReread()
		}
		n.m.ReconcileStored()
	}
	if n.caughtUp && !n.settled {
		n.settled = true
		n.completeDeclarations()
	}
	if n.caughtUp && !n.complete && n.w.now-n.started > graceTicks {
		n.complete = true
		n.m.Own.DepartUnknown(n.m.State, n.clock())
		maps.DeleteFunc(n.active, func(id AgentID, _ bool) bool { return n.agents[id] == nil })
	}
	if n.w.now%10 == 0 && n.caughtUp && n.isIncomplete() {
		n.reread()
	}
}

func (n *simNode) isIncomplete() bool {
	own, all := 0, 0
	for key := range n.w.stream.latest {
		all++
		if key.Node == n.name && key.Kind == ClaimRecord {
			own++
		}
	}
	return n.m.IsIncomplete(own, all)
}

func (n *simNode) reread() {
	n.m.State.BeginReread()
	n.position, n.caughtUp, n.mustReach, n.rereads = 0, false, n.w.stream.last, true
}

// step lets a second pass.
func (w *world) step() {
	w.now++
	for _, a := range w.agents {
		n := a.home
		if !a.alive || n == nil || n.m == nil || !a.came && (w.now+a.phase)%signPeriod != 0 {
			continue
		}
		arrived := a.came || n.agents[a.id] == nil
		a.came = false
		n.agents[a.id] = &local{lastSign: w.now}
		if !n.active[a.id] {
			n.active[a.id] = true
			n.tellActive(a.id)
		}
		came := n.m.RecordSighting(&Sighting{Agent: a.id, Since: n.clock(), Sign: n.clock(), Arrived: arrived, Addr: netip.AddrFrom4([4]byte{10, 0, byte(a.id >> 8), byte(a.id)})})
		if came.Moved && came.From.Reason != Here {
			n.tellActive(a.id)
		}
	}
	for _, i := range w.r.Perm(len(w.nodes)) {
		w.nodes[i].step()
	}
	if w.r.IntN(3) == 0 {
		w.stream.compact()
	}
}

// leave ends an agent's connection, which its node may not notice.
func (w *world) leave(a *simAgent) {
	if n := a.home; n != nil && n.m != nil && n.agents[a.id] != nil && w.r.IntN(4) > 0 {
		n.agents[a.id].closed = w.now
	}
	a.home = nil
}

func (w *world) moveAgent(a *simAgent, to *simNode) {
	if !a.alive || to.m == nil || a.home == to {
		return
	}
	w.leave(a)
	a.home, a.came, a.moved = to, true, w.now
}
