package attach

import (
	"bufio"
	"compress/gzip"
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clusterd"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// schema4 is the table of agents of Wazuh 4.14, as far as Pulse knows it.
const schema4 = `CREATE TABLE agent (id INTEGER PRIMARY KEY, name TEXT NOT NULL, ip TEXT, register_ip TEXT, os_name TEXT, os_version TEXT, version TEXT,
	node_name TEXT DEFAULT 'unknown', date_add INTEGER NOT NULL, last_keepalive INTEGER, [group] TEXT, sync_status TEXT NOT NULL DEFAULT 'synced',
	connection_status TEXT NOT NULL DEFAULT 'never_connected', disconnection_time INTEGER DEFAULT 0, status_code INTEGER DEFAULT 0);
	CREATE TABLE metadata (key TEXT PRIMARY KEY, value TEXT); INSERT INTO metadata VALUES ('db_version', '7'); INSERT INTO agent (id, name, date_add) VALUES (0, 'manager', 0)`

// clusterNames are the names of the recorded cluster's nodes, by those in the recordings.
var clusterNames = map[string]string{"m": "node01", "w1": "worker1", "w2": "worker2"}

// clusterWorld is a Wazuh cluster whose rows are played back, with a Pulse on each node, in a
// bubble with fake time. Where the agents' connections are, the test says.
type clusterWorld struct {
	t     *testing.T
	nodes map[string]*clusterNode
	share *memoryStream

	mu    sync.Mutex
	conns map[detector.AgentID]string          // the node an agent is connected to
	hung  map[string]map[detector.AgentID]bool // by node: its connection is open, and nobody answers
	been  map[string]map[detector.AgentID]bool // by node: has been connected
}

// clusterNode is one node.
type clusterNode struct {
	*manager5
	world    *clusterWorld
	name     string // in the recordings
	member   *ownership.Member
	link     *Link
	fleet    *detector.Detector
	clock    *detector.Clock
	log      *logRecorder
	cutOff   bool // from what the nodes share
	position int  // in the stream
	dead     bool // its Pulse is gone
	noMaster bool // clusterd has no connection to the master
	closed   map[detector.AgentID]bool
	ctx      context.Context
	stop     func()

	mu        sync.Mutex
	decisions []detector.Decision
}

// stopPulse ends the Pulse on a node, and has the others know that.
func (n *clusterNode) stopPulse() {
	n.stop()
	n.world.share.update(func() { n.dead, n.cutOff = true, true })
}

func newClusterWorld(t *testing.T) *clusterWorld {
	w := &clusterWorld{t: t, nodes: make(map[string]*clusterNode), share: new(memoryStream), conns: make(map[detector.AgentID]string),
		hung: make(map[string]map[detector.AgentID]bool), been: make(map[string]map[detector.AgentID]bool)}
	for name := range clusterNames {
		m := startManager5(t)
		if err := os.Remove(m.home + "/" + wazuhsock.Settings5); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", ":memory:")
		if err == nil {
			db.SetMaxOpenConns(1)
			_, err = db.Exec(schema4)
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = m.db.Close()
		m.db = db
		w.nodes[name] = &clusterNode{manager5: m, world: w, name: name, closed: make(map[detector.AgentID]bool), log: new(logRecorder)}
		w.hung[name], w.been[name] = make(map[detector.AgentID]bool), make(map[detector.AgentID]bool)
	}
	return w
}

// startPulse starts a Pulse on a node.
func (n *clusterNode) startPulse(shared bool) {
	set := detector.Settings{Group: detector.Group{Interval: 10 * time.Second, Timeout: 50 * time.Second, MaxMissed: 3}, Method: detector.Request,
		RetryInterval: 3 * time.Second, SuspectTimeout: 5 * time.Second, ReconnectGrace: 5 * time.Second}
	n.clock = detector.NewClock()
	n.fleet = detector.New(set, n.clock, n.handleDecisions)
	cfg := Config{Home: n.home, Cluster: wazuhdb.ClusterRole{Node: clusterNames[n.name], Worker: n.name != "m"}, Method: detector.Request, MaxInFlight: 128,
		Grace: set.ReconnectGrace, Timeout: set.Timeout, UpdateStatus: true, Clock: n.clock, Fleet: n.fleet, Log: newTestLog(n.log)}
	if shared {
		n.member = ownership.NewMember(clusterNames[n.name], 1, n.handleEvent)
		cfg.Fleet, cfg.Shared = n, n
	}
	var err error
	if n.link, err = Open(cfg); err != nil {
		n.world.t.Fatal(err)
	}
	n.link.prober.client, n.link.reader.remoted, n.link.locator.client, n.link.clusterd = n, n, n, n
	if shared {
		n.world.share.add(n) // from now on the others' events reach the link
	}
	ctx, cancel := context.WithCancel(n.world.t.Context())
	n.ctx = ctx
	parts := []func(context.Context){n.fleet.Run, n.link.tracker.runTracker, n.link.monitor.runMonitor, n.link.reader.runReader, n.link.prober.runProber}
	if n.link.writer != nil {
		parts = append(parts, n.link.writer.runWriter)
	}
	if n.link.locator.enabled {
		parts = append(parts, n.link.locator.runLocator)
	}
	var running sync.WaitGroup
	for _, part := range parts {
		running.Go(func() { part(ctx) })
	}
	n.stop = sync.OnceFunc(func() { cancel(); running.Wait(); n.link.db.Close() })
}

// RequestState answers as the node's remoted does.
func (n *clusterNode) RequestState(ctx context.Context, id detector.AgentID, timeout time.Duration, sent func()) (remoted.Outcome, error) {
	n.manager5.mu.Lock()
	down := n.remotedDown
	n.manager5.mu.Unlock()
	if down {
		return remoted.Absent, context.DeadlineExceeded
	}
	w := n.world
	w.mu.Lock()
	outcome := remoted.NotConnected
	if w.hung[n.name][id] {
		outcome = remoted.Silent
	} else if w.conns[id] == n.name {
		outcome = remoted.Answered
	}
	w.mu.Unlock()
	sent()
	if outcome == remoted.Silent {
		select {
		case <-time.After(timeout):
		case <-ctx.Done():
		}
	}
	return outcome, nil
}

func (n *clusterNode) ReadPresent(_ context.Context, ids []detector.AgentID, _ time.Duration) (present []detector.AgentID, err error) {
	n.world.mu.Lock()
	defer n.world.mu.Unlock()
	for _, id := range ids {
		if n.world.been[n.name][id] {
			present = append(present, id)
		}
	}
	return present, nil
}

// ReadLocations answers as the node's clusterd does.
func (n *clusterNode) ReadLocations(_ context.Context, ids []detector.AgentID) (list []clusterd.Location, err error) {
	m := n.world.nodes["m"].manager5
	m.mu.Lock()
	defer m.mu.Unlock()
	if n.noMaster {
		return nil, clusterd.RefusedError("Error 3023 - Worker node is not connected to master")
	}
	for _, id := range ids {
		l := clusterd.Location{Agent: id}
		if err := m.db.QueryRow("SELECT node_name, connection_status, last_keepalive FROM agent WHERE id = ?", id).Scan(&l.Node, &l.Status, &l.KeepAlive); err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

// ReadNodeActivity answers as the node's clusterd does.
func (n *clusterNode) ReadNodeActivity(_ context.Context, node string) (a clusterd.NodeActivity, err error) {
	m := n.world.nodes["m"].manager5
	m.mu.Lock()
	defer m.mu.Unlock()
	var last int64
	err = m.db.QueryRow("SELECT count(*), coalesce(max(last_keepalive), 0) FROM agent WHERE connection_status IN ('active', 'pending') AND node_name = ?", node).Scan(&a.Agents, &last)
	a.Silence = time.Since(time.Unix(last, 0))
	return a, err
}

// connect has agents connect to a node. The node that they were connected to sees the ends of
// their connections.
func (w *clusterWorld) connect(to string, ids ...detector.AgentID) {
	w.disconnect(ids...)
	w.mu.Lock()
	for _, id := range ids {
		if w.conns[id] = to; to != "" {
			w.been[to][id] = true
		}
	}
	w.mu.Unlock()
	if n := w.nodes[to]; n != nil && n.link != nil {
		n.link.tracker.events.sendEvent(n.ctx, connOpened{len(ids)})
	}
}

// disconnect ends the connections of agents.
func (w *clusterWorld) disconnect(ids ...detector.AgentID) {
	ended := make(map[string][]detector.AgentID)
	w.mu.Lock()
	for _, id := range ids {
		if from := w.conns[id]; from != "" {
			ended[from] = append(ended[from], id)
		}
		delete(w.conns, id)
	}
	w.mu.Unlock()
	for from, list := range ended {
		if n := w.nodes[from]; n.link != nil {
			n.link.tracker.events.sendEvent(n.ctx, connClosed{list})
		}
	}
}

// hangUp has the old connection of agents stay open at a node, and nobody answer there.
func (w *clusterWorld) hangUp(at string, ids ...detector.AgentID) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		w.hung[at][id] = true
		delete(w.conns, id)
	}
}

// listChanges returns the changes of status at a node from a time on.
func (n *clusterNode) listChanges(from time.Time) (some []detector.Decision) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.decisions {
		if d.Verdict == detector.Changed && !d.Time.Before(from) {
			some = append(some, d)
		}
	}
	return some
}

// countVerdicts returns how many decisions of a kind there were at a node from a time on.
func (n *clusterNode) countVerdicts(v detector.Verdict, from time.Time) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, d := range n.decisions {
		if d.Verdict == v && !d.Time.Before(from) {
			count++
		}
	}
	return count
}

// rowChange is a change of a row of a real cluster. Its times are in seconds from an action on.
type rowChange struct {
	At     float64 `json:"t"`
	Node   string  `json:"n"`
	ID     int     `json:"id"`
	Status *string `json:"s"`
	Name   *string `json:"h"`
	Code   *int    `json:"c"`
	Addr   *string `json:"a"`
	Seen   *int64  `json:"k"`
	Gone   *int64  `json:"d"`
}

func readRowChanges(t *testing.T, name string) (all []rowChange) {
	t.Helper()
	f, err := os.Open("testdata/cluster/" + name + ".jsonl.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(z); in.Scan(); {
		var c rowChange
		if err := json.Unmarshal(in.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

// apply writes the change into its node's database, whose times are counted from epoch.
func (c *rowChange) apply(w *clusterWorld, epoch time.Time) {
	columns := make(map[string]any)
	if c.Status != nil {
		columns["connection_status"] = *c.Status
	}
	if c.Name != nil {
		columns["node_name"] = *c.Name
	}
	if c.Code != nil {
		columns["status_code"] = *c.Code
	}
	if c.Addr != nil {
		columns["ip"] = *c.Addr
	}
	if c.Gone != nil {
		columns["disconnection_time"] = epoch.Unix() + *c.Gone
	}
	if c.Seen != nil {
		columns["last_keepalive"] = epoch.Unix() + *c.Seen
	}
	w.nodes[c.Node].setRow(c.ID, columns)
}

// memoryStream is the stream that the nodes share, without a network.
type memoryStream struct {
	mu     sync.Mutex
	nodes  []*clusterNode
	log    []storedRecord
	events []func()
}

type storedRecord struct {
	key    ownership.Key
	record ownership.Record
}

func (s *memoryStream) add(n *clusterNode) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = append(s.nodes, n)
}

// update calls f, and stores and reads what the members have to store then. What that
// causes happens after it.
func (s *memoryStream) update(f func()) {
	s.mu.Lock()
	f()
	for again := true; again; {
		again = false
		for _, n := range s.nodes {
			if n.cutOff {
				continue
			}
			for ; n.position < len(s.log); n.position++ {
				r := s.log[n.position]
				_ = n.member.ApplyRecord(uint64(n.position+1), r.key, r.record)
			}
			for _, w := range n.member.TakeWrites(1000) {
				r, err := ownership.ParseRecord(string(w.Text))
				if err != nil {
					panic(err)
				}
				s.log = append(s.log, storedRecord{w.Key, r})
				n.member.ConfirmWrite(&w, uint64(len(s.log)))
				again = true
			}
		}
	}
	events := s.events
	s.events = nil
	s.mu.Unlock()
	for _, e := range events {
		e()
	}
}

// setCutOff cuts a node off from what the nodes share, or connects it again.
func (n *clusterNode) setCutOff(cutOff bool) { n.world.share.update(func() { n.cutOff = cutOff }) }

// handleEvent is called in update.
func (n *clusterNode) handleEvent(e ownership.Event) {
	s := n.world.share
	id := detector.AgentID(e.Agent)
	switch e.Kind {
	case ownership.Claimed:
		if e.Node != clusterNames[n.name] {
			s.events = append(s.events, func() {
				n.fleet.Report(detector.Sighting{At: n.clock.Now(), ID: id, Kind: detector.SawElsewhere, Token: 1})
				n.link.CancelLoss(id)
			})
		}
	case ownership.Departed:
		if e.Node != clusterNames[n.name] && n.name == "m" && e.Reason == ownership.Lost {
			s.events = append(s.events, func() { n.link.WriteLoss(id, time.Now(), time.Now()) })
		}
	case ownership.Duplicated:
		n.world.t.Errorf("agent %v counts as two machines, on %s and %s", id, e.Node, e.Other)
	}
}

// handleDecisions is what a node does with its detector's decisions.
func (n *clusterNode) handleDecisions(out []detector.Decision) {
	n.mu.Lock()
	n.decisions = append(n.decisions, out...)
	n.mu.Unlock()
	for i := range out {
		d := &out[i]
		switch {
		case d.Verdict == detector.Send:
			_ = n.link.KeepAlive(d.ID, d.Token)
		case d.Verdict == detector.MovedAway:
			n.depart(d.ID, ownership.Moved)
			n.link.OnDecision(d)
		case !d.Verdict.IsRoutine():
			if d.Verdict == detector.Changed && d.To == detector.Disconnected {
				n.depart(d.ID, map[bool]ownership.Reason{true: ownership.Lost, false: ownership.Stopped}[d.Reason.IsLoss()])
			}
			n.link.OnDecision(d)
		}
	}
}

func (n *clusterNode) depart(id detector.AgentID, reason ownership.Reason) {
	if n.member != nil {
		n.world.share.update(func() { n.member.RecordDeparture(ownership.AgentID(id), reason, uint32(time.Now().Unix())) })
	}
}

// A clusterNode is the Fleet of its link: what is reported is claimed.

func (n *clusterNode) Report(s detector.Sighting) {
	switch s.Kind {
	case detector.SawClosed, detector.ClosedInDoubt:
		n.mu.Lock()
		n.closed[s.ID] = true
		n.mu.Unlock()
	case detector.SawStartup, detector.SawKeepAlive, detector.SawAnswer:
		n.mu.Lock()
		arrived := s.Kind == detector.SawStartup || n.closed[s.ID]
		delete(n.closed, s.ID)
		n.mu.Unlock()
		at := uint32(n.clock.Time(s.At).Unix())
		n.world.share.update(func() {
			n.member.SetTime(time.Duration(time.Now().UnixNano()))
			n.member.RecordSighting(&ownership.Sighting{Agent: ownership.AgentID(s.ID), Since: at, Sign: at, Arrived: arrived, Stays: s.Kind == detector.SawAnswer && !arrived})
		})
	}
	n.fleet.Report(s)
}

func (n *clusterNode) AdmitMember(m detector.Member) {
	n.fleet.AdmitMember(m)
	n.world.share.mu.Lock()
	o, ok := n.member.State.Owner(ownership.AgentID(m.ID))
	n.world.share.mu.Unlock()
	if ok && o.Node != clusterNames[n.name] && !m.Active {
		kind := detector.SawElsewhere
		if o.Reason != ownership.Here {
			kind = detector.LostElsewhere
		}
		n.fleet.Report(detector.Sighting{At: n.clock.Now(), ID: m.ID, Kind: kind, Token: 1})
	}
}

func (n *clusterNode) ReportRelayed(s detector.Sighting)               { n.fleet.Report(s) }
func (n *clusterNode) SetMembers(all []detector.Member)                { n.fleet.SetMembers(all) }
func (n *clusterNode) ReleaseMember(id detector.AgentID)               { n.fleet.ReleaseMember(id) }
func (n *clusterNode) SetInfo(id detector.AgentID, info detector.Info) { n.fleet.SetInfo(id, info) }
func (n *clusterNode) ExtendGrace(d time.Duration)                     { n.fleet.ExtendGrace(d) }
func (n *clusterNode) SetPassive(id detector.AgentID, is bool)         { n.fleet.SetPassive(id, is) }
func (n *clusterNode) SetPassivePace(step, timeout time.Duration) {
	n.fleet.SetPassivePace(step, timeout)
}
func (n *clusterNode) HoldPassive(d time.Duration)          { n.fleet.HoldPassive(d) }
func (n *clusterNode) Page(i int) ([]detector.Record, bool) { return n.fleet.Page(i) }
func (n *clusterNode) Agent(id detector.AgentID) (detector.Record, bool) {
	return n.fleet.Agent(id)
}

// A clusterNode is also the SharedView of its link.

func (n *clusterNode) IsElsewhere(id detector.AgentID) bool {
	n.world.share.mu.Lock()
	defer n.world.share.mu.Unlock()
	o, ok := n.member.Elsewhere(ownership.AgentID(id))
	return ok && !n.world.isDead(o.Node)
}

func (n *clusterNode) WasElsewhere(id detector.AgentID) bool {
	n.world.share.mu.Lock()
	defer n.world.share.mu.Unlock()
	o, ok := n.member.State.Owner(ownership.AgentID(id))
	return ok && o.Node != clusterNames[n.name]
}

func (n *clusterNode) IsCurrent() bool {
	n.world.share.mu.Lock()
	defer n.world.share.mu.Unlock()
	return !n.cutOff
}

func (n *clusterNode) IsNodeAlive(node string) bool {
	n.world.share.mu.Lock()
	defer n.world.share.mu.Unlock()
	return !n.world.isDead(node)
}

// isDead reports whether a node has no Pulse any more.
func (w *clusterWorld) isDead(node string) bool {
	for name, at := range clusterNames {
		if at == node {
			return w.nodes[name].dead
		}
	}
	return true
}

// agentRange returns the numbers of agents.
func agentRange(from, to detector.AgentID) (ids []detector.AgentID) {
	for id := from; id <= to; id++ {
		ids = append(ids, id)
	}
	return ids
}

// listChangesOf returns the changes of some agents.
func listChangesOf(changes []detector.Decision, ids []detector.AgentID) (some []detector.Decision) {
	for _, d := range changes {
		if slices.Contains(ids, d.ID) {
			some = append(some, d)
		}
	}
	return some
}
