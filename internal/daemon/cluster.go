package daemon

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/attach"
	"github.com/wazuh-pulse/pulse/internal/cluster"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// clusterPart is this node's part in a cluster. It claims in the shared view what the node's
// agents show of themselves and what its detector decides, and makes of what other nodes
// claim inputs of the detector and of the link. All methods work on nil: a node alone.
type clusterPart struct {
	node     string
	role     ownership.Role
	pace     clusterPace
	detector *detector.Detector
	clock    *detector.Clock
	log      *slog.Logger
	link     link           // set before the view is opened
	remote   *remote.Remote // the view's own connection
	shared   sharedView     // nil before openView
	shown    atomic.Pointer[jointFleet]
	timeout  time.Duration // the longest after which an agent that has sent nothing is lost

	departures departures
	alerts     heldAlerts

	publish        func(message.Record) // what the detector has not decided
	statusEnd      func() uint64        // see outbox.Outbox
	awaitForwarded func(ctx context.Context, end uint64, atMost time.Duration)
	isForwarding   func() bool   // see Publisher.isForwarding
	group          message.Group // of such records
	nodes          *nodeWatch
	duplicates     *duplicates // the node's

	mu      sync.Mutex
	closed  map[detector.AgentID]struct{} // agents whose connection has ended, and that have sent nothing since
	names   []string                      // of other nodes: names[i] is that of the detector's node i+1
	numbers map[string]detector.NodeNumber
}

// clusterPace is how fast things happen in a cluster.
type clusterPace struct {
	// grace is the shortest reconnect_grace: another node has to see an agent that came to
	// it, and this one has to read of that.
	grace time.Duration
	beat  time.Duration // see cluster.Config; 0 for its own
	loss  time.Duration // after that of their node, until agents are lost with it; 0 for the longest timeout
}

var realPace = clusterPace{grace: 5 * time.Second}

// readClusterMembership returns what a node is in its cluster, and false for a node alone.
func readClusterMembership(cfg *config.Config) (role ownership.Role, member bool, err error) {
	n := &cfg.NATS
	if !n.Enabled || n.ServerURL == "" || n.NoRoster {
		return role, false, nil
	}
	attaches, err := Attaches(cfg)
	if err != nil || !attaches {
		return ownership.Listener, cfg.Cluster.Enabled, nil // openLink returns that error
	}
	place, _, err := readClusterRole(cfg)
	switch {
	case err != nil || !place.IsClustered():
		return role, false, err
	case place.Worker:
		return ownership.Worker, true, nil
	}
	return ownership.Master, true, nil
}

// joinCluster returns the node's part in its cluster, nil if it is in none. The view is
// opened by openView.
func (n *Node) joinCluster(cfg *config.Config, pace clusterPace) (*clusterPart, error) {
	role, member, err := readClusterMembership(cfg)
	if err != nil || !member {
		return nil, err
	}
	if !n.out.sealer.Signs() {
		n.log.Warn("this node shares nothing with the others of its cluster: its messages are not signed (<nats><message_signing>)")
		return nil, nil
	}
	return n.newClusterPart(cfg, role, pace), nil
}

func (n *Node) newClusterPart(cfg *config.Config, role ownership.Role, pace clusterPace) *clusterPart {
	c := &clusterPart{node: cfg.Pulse.NodeName, role: role, pace: pace, clock: n.clock, log: n.log, timeout: longestTimeout(cfg), closed: make(map[detector.AgentID]struct{}),
		numbers: make(map[string]detector.NodeNumber), departures: newDepartures(), alerts: heldAlerts{byAgent: make(map[detector.AgentID]heldAlert), put: n.out.backlog.put},
		publish: n.publishRecord, statusEnd: n.out.outbox.StatusEnd, awaitForwarded: n.out.awaitForwarded, isForwarding: n.out.isForwarding, group: messageGroups(cfg)[0], nodes: newNodeWatch(), duplicates: &n.duplicates}
	return c
}

// longestTimeout returns after which time every agent that has sent nothing is lost.
func longestTimeout(cfg *config.Config) time.Duration {
	longest := cfg.KeepAlive.Timeout
	for i := range cfg.Groups {
		longest = max(longest, cfg.Groups[i].Timeout)
	}
	return longest
}

// cluster returns the node's part in its cluster, nil if it is in none.
func (n *Node) cluster() *clusterPart { return n.clustered }

// sharedView is what a node needs of a [cluster.View].
type sharedView interface {
	Claim(s ownership.Sighting) ownership.Arrival
	Depart(id ownership.AgentID, reason ownership.Reason, since uint32)
	DeclareLost(id ownership.AgentID, node string, since uint32)
	CompleteClaims()
	ConfirmNodeLost(node string, beat uint64)
	ConfirmReturn(order uint64)
	SeenAt(node string) time.Time
	AwaySince() time.Time
	IsAnnounced(node string, beat uint64) bool
	StatementOrder(id ownership.AgentID, here bool) uint64
	DeclaredOrder(id ownership.AgentID) uint64
	DatedOrder(order uint64) uint64
	Owner(id ownership.AgentID) (ownership.Owner, bool)
	Elsewhere(id ownership.AgentID) (ownership.Owner, bool)
	LaterClaim(id ownership.AgentID) (ownership.Owner, bool)
	IsHere(id ownership.AgentID) bool
	Claims(id ownership.AgentID) []ownership.Owner
	PageClaims(list []ownership.Located, n int) (page []ownership.Located, more bool)
	PagePlaces(list []ownership.Place, n int) (page []ownership.Place, more bool)
	Locate(list []ownership.Place, agents []ownership.AgentID) []ownership.Place
	Nodes() []ownership.Node
	IsLoaded() bool
	Status() cluster.Status
	Close()
}

// view returns the shared view, nil without one.
func (c *clusterPart) view() sharedView {
	if c == nil {
		return nil
	}
	return c.shared
}

// openView opens the shared view, on a connection of its own.
func (c *clusterPart) openView(cfg *config.Config, out *Publisher, l link) (err error) {
	if c == nil {
		return nil
	}
	way := RemoteConfig(cfg, c.log.With("connection", "cluster"))
	way.Name, way.PingInterval, way.Admit = "pulse cluster", clusterPing, out.presence.AdmitFollower
	if c.remote, err = remote.Open(way); err != nil {
		return err
	}
	c.link = l
	source := out.source()
	opened := make(chan struct{}) // what the view reports meanwhile waits
	defer close(opened)
	v, err := cluster.Open(cluster.Config{Node: c.node, Epoch: source.Epoch, Started: out.recorder.started, Role: c.role, Version: source.Version,
		Remote: c.remote, Signer: out.sealer.Signer(), Restored: listRestored(out.stated), Beat: c.pace.beat, Log: c.log,
		OnEvent:  func(e ownership.Event) { <-opened; c.handleEvent(e) },
		OnLoaded: func() { <-opened; c.handleLoaded() }})
	if err != nil {
		return err
	}
	c.shared, c.nodes.declared = v, out.lost
	c.nodes.addPublished(out.announced)
	c.departures.open(out.outbox, v, out.stated)
	out.stated = nil
	return nil
}

// listRestored returns what the run before this one has stated of agents.
func listRestored(stated []message.StatedAgent) []ownership.Restored {
	list := make([]ownership.Restored, len(stated))
	for i, s := range stated {
		list[i] = ownership.Restored{Agent: ownership.AgentID(s.ID), Lost: s.Lost, Since: uint32(s.Since.Unix()), Order: s.Order}
	}
	return list
}

// clusterPing is the time between pings on the view's connection, which ends when two are
// not answered.
const clusterPing = 5 * time.Second

// latestOrder returns what returns the highest order that a statement can have by now, 0 before all
// is read; nil outside a cluster.
func (c *clusterPart) latestOrder() func() uint64 {
	if c == nil {
		return nil
	}
	return func() uint64 {
		s := c.shared.Status()
		if !s.Loaded {
			return 0
		}
		return c.shared.DatedOrder(s.Position)
	}
}

// close ends the view and its connection.
func (c *clusterPart) close() {
	if c == nil {
		return
	}
	if c.shared != nil {
		c.shared.Close()
	}
	if c.remote != nil {
		c.remote.Close()
	}
}

// run records departures, and completes the node's claims once its agents have had the time
// to show themselves after a start: what the view has more of them is out of date.
func (c *clusterPart) run(ctx context.Context) {
	if c == nil {
		return
	}
	complete := time.NewTimer(c.timeout)
	defer complete.Stop()
	var current time.Time // since when this node reads what is stored
	look := time.NewTicker(departurePoll)
	defer look.Stop()
	for {
		select {
		case <-look.C:
			c.departures.recordConfirmed(time.Now())
			if !c.isCurrent() {
				current = time.Time{}
			} else if current.IsZero() {
				current = time.Now()
			}
			if !current.IsZero() && time.Since(current) >= departureWait { // what others have stored meanwhile is read
				c.departures.publishCorrections(c.shared.Status().Since)
			}
			c.releaseAlerts()
		case <-complete.C:
			c.shared.CompleteClaims()
		case <-ctx.Done():
			return
		}
	}
}

// handleEvent handles what the nodes' records have changed. It must not wait, and is called
// in the order of the records.
func (c *clusterPart) handleEvent(e ownership.Event) {
	c.showEvent(e)
	switch e.Kind {
	case ownership.Claimed:
		c.handleClaim(e)
		c.handleClaimForMaster(e)
	case ownership.Departed:
		c.handleDepartureForMaster(e)
	case ownership.Overtaken:
		c.reportOvertaken(e.Agent)
	case ownership.Unproven:
		c.proveAgent(e)
	case ownership.Duplicated:
		c.handleDuplicate(e)
	case ownership.NodeBack:
		c.handleClaimsAgain(e)
		c.nodes.addEvent(e)
	case ownership.NodeLost, ownership.Returned, ownership.DeclaredLost, ownership.BackUnread, ownership.Misdeclared:
		c.nodes.addEvent(e)
	}
}

// sharedFleet is the detector of a node in a cluster, as the link reports to it.
type sharedFleet struct {
	*detector.Detector
	part *clusterPart
}

// shareFleet returns what the link reports to: the detector itself of a node alone.
func (c *clusterPart) shareFleet(to *detector.Detector) attach.Fleet {
	if c == nil {
		return to
	}
	c.detector = to
	return &sharedFleet{to, c}
}

// Report claims the agent of a sign of life, and reports the sighting. What is older than
// another node's claim shows nothing, and is dropped.
func (f *sharedFleet) Report(s detector.Sighting) {
	if f.part.claimSighting(&s) {
		f.Detector.Report(s)
	}
}

// claimSighting claims an agent that has sent something, and reports where it was before. It
// returns false if the sighting is to be dropped. A connection that has ended is remembered,
// so that what follows is a new one. An agent that has said goodbye, or is lost, is claimed
// only after what may make it active again.
func (c *clusterPart) claimSighting(s *detector.Sighting) bool {
	switch s.Kind {
	case detector.SawClosed, detector.ClosedInDoubt:
		c.mu.Lock()
		c.closed[s.ID] = struct{}{}
		c.mu.Unlock()
		return true
	case detector.SawStartup, detector.SawKeepAlive, detector.SawAnswer, detector.SawEvent:
	default:
		return true
	}
	arrived := c.takeClosed(s.ID) || s.Kind == detector.SawStartup
	was := c.shared.Claim(ownership.Sighting{Agent: ownership.AgentID(s.ID), Since: c.unixTime(s.At), Sign: c.unixTime(s.At), Age: c.clock.Now().Sub(s.At), Arrived: arrived,
		Addr: s.Addr, Stays: !arrived && s.Kind != detector.SawKeepAlive})
	if was.Moved {
		c.reportElsewhere(s.ID, &was.From, s.At-1) // the sign of life is later, and ends that
	}
	return !was.Late
}

// takeClosed reports whether an agent's connection has ended before what it sends now.
func (c *clusterPart) takeClosed(id detector.AgentID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.closed[id]
	delete(c.closed, id)
	return ok
}

func (c *clusterPart) unixTime(at detector.Instant) uint32 { return uint32(c.clock.Time(at).Unix()) }

// recordDecision records in the view what the detector has decided: a departure when its
// message is stored, which is when the function that it returns is called, nil for none.
func (c *clusterPart) recordDecision(d *detector.Decision) (stored func()) {
	if c == nil || d.Verdict != detector.Changed {
		return nil
	}
	if node := c.findCoarseNode(d.ID); node != "" {
		return c.recordCoarseDecision(d, node)
	}
	id, at := ownership.AgentID(d.ID), uint32(d.Time.Unix())
	switch {
	case d.To != detector.Disconnected:
		c.departures.remove(d.ID)
		c.shared.Claim(ownership.Sighting{Agent: id, Since: at, Sign: at, Age: c.clock.Now().Sub(d.At)})
	case d.Reason == detector.AgentRemoved:
		c.departures.remove(d.ID)
		c.shared.Depart(id, ownership.Removed, at)
	case d.Reason == detector.AgentShutdown:
		return c.departures.add(d.ID, ownership.Stopped, at, c.shared.StatementOrder(id, false))
	default:
		return c.departures.add(d.ID, ownership.Lost, at, c.shared.StatementOrder(id, false))
	}
	return nil
}

// describeMove returns what a change of status says of where the agent is.
func (c *clusterPart) describeMove(d *detector.Decision) *message.Move {
	if c == nil || d.Verdict != detector.Changed {
		return nil
	}
	// A node that has read nothing has a part in the cluster all the same: others' statements
	// are later than its own, whatever their clocks are.
	order := max(1, c.shared.StatementOrder(ownership.AgentID(d.ID), d.To != detector.Disconnected))
	return &message.Move{From: c.nameOf(d.Node), Order: order}
}
