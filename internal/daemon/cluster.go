package daemon

import (
	"context"
	"log/slog"
	"sync"
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
	timeout  time.Duration  // the longest after which an agent that has sent nothing is lost

	mu     sync.Mutex
	closed map[detector.AgentID]struct{} // agents whose connection has ended, and that have sent nothing since
}

// clusterPace is how fast things happen in a cluster.
type clusterPace struct {
	// grace is the shortest reconnect_grace: another node has to see an agent that came to
	// it, and this one has to read of that.
	grace time.Duration
	beat  time.Duration // see cluster.Config; 0 for its own
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
	c := &clusterPart{node: cfg.Pulse.NodeName, role: role, pace: pace, clock: n.clock, log: n.log, timeout: cfg.KeepAlive.Timeout, closed: make(map[detector.AgentID]struct{})}
	for i := range cfg.Groups {
		c.timeout = max(c.timeout, cfg.Groups[i].Timeout)
	}
	return c, nil
}

// cluster returns the node's part in its cluster, nil if it is in none.
func (n *Node) cluster() *clusterPart { return n.clustered }

// sharedView is what a node needs of a [cluster.View].
type sharedView interface {
	Claim(s ownership.Sighting)
	Depart(id ownership.AgentID, reason ownership.Reason, since uint32)
	DeclareLost(id ownership.AgentID, node string, since uint32)
	CompleteClaims()
	ConfirmNodeLost(node string, beat uint64)
	ConfirmReturn(order uint64)
	StatementOrder(id ownership.AgentID, here bool) uint64
	Owner(id ownership.AgentID) (ownership.Owner, bool)
	Elsewhere(id ownership.AgentID) (ownership.Owner, bool)
	Claims(id ownership.AgentID) []ownership.Owner
	PageClaims(list []ownership.Located, n int) (page []ownership.Located, more bool)
	PagePlaces(list []ownership.Place, n int) (page []ownership.Place, more bool)
	Locate(list []ownership.Place, agents []ownership.AgentID) []ownership.Place
	Nodes() []ownership.Node
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
	v, err := cluster.Open(cluster.Config{Node: c.node, Epoch: source.Epoch, Started: out.recorder.started, Role: c.role, Version: source.Version,
		Remote: c.remote, Signer: out.sealer.Signer(), Beat: c.pace.beat, OnEvent: c.handleEvent, OnConnection: c.handleConnection, Log: c.log})
	if err == nil {
		c.shared = v
	}
	return err
}

// clusterPing is the time between pings on the view's connection, which ends when two are
// not answered.
const clusterPing = 5 * time.Second

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

// run completes the node's claims once its agents have had the time to show themselves after
// a start: what the view has more of them is out of date.
func (c *clusterPart) run(ctx context.Context) {
	if c == nil {
		return
	}
	select {
	case <-time.After(c.timeout):
		c.shared.CompleteClaims()
	case <-ctx.Done():
	}
}

// handleEvent handles what the nodes' records have changed. It must not wait, and is called
// in the order of the records.
func (c *clusterPart) handleEvent(e ownership.Event) {
	switch e.Kind {
	case ownership.Claimed:
		c.handleClaim(e)
		c.handleClaimForMaster(e)
	case ownership.Departed:
		c.handleDepartureForMaster(e)
	case ownership.Unproven:
		c.proveAgent(e)
	case ownership.Duplicated:
		c.handleDuplicate(e)
	case ownership.NodeLost:
		c.handleNodeLost(e)
	case ownership.NodeBack:
		c.handleNodeBack(e)
	case ownership.Returned:
		c.handleReturn(e)
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

// Report claims the agent of a sign of life, and reports the sighting.
func (f *sharedFleet) Report(s detector.Sighting) {
	f.part.claimSighting(&s)
	f.Detector.Report(s)
}

// claimSighting claims an agent that has sent something. A connection that has ended is
// remembered, so that what follows is a new one. An agent that has said goodbye, or is lost,
// is claimed only after what may make it active again.
func (c *clusterPart) claimSighting(s *detector.Sighting) {
	arrived := s.Kind == detector.SawStartup
	switch s.Kind {
	case detector.SawClosed:
		c.mu.Lock()
		c.closed[s.ID] = struct{}{}
		c.mu.Unlock()
		return
	case detector.SawStartup, detector.SawKeepAlive, detector.SawAnswer, detector.SawEvent:
	default:
		return
	}
	c.mu.Lock()
	if _, ok := c.closed[s.ID]; ok {
		arrived = true
		delete(c.closed, s.ID)
	}
	c.mu.Unlock()
	at := uint32(c.clock.Time(s.At).Unix())
	c.shared.Claim(ownership.Sighting{Agent: ownership.AgentID(s.ID), Since: at, Sign: at, Arrived: arrived, Addr: s.Addr,
		Stays: !arrived && s.Kind != detector.SawKeepAlive})
}

// recordDecision records in the view what the detector has decided.
func (c *clusterPart) recordDecision(d *detector.Decision) {
	if c == nil || d.Verdict != detector.Changed {
		return
	}
	id, at := ownership.AgentID(d.ID), uint32(d.Time.Unix())
	if d.To == detector.Disconnected {
		c.shared.Depart(id, departureReason(d.Reason), at)
		return
	}
	c.shared.Claim(ownership.Sighting{Agent: id, Since: at, Sign: at})
}

// describeMove returns what a change of status says of where the agent is.
func (c *clusterPart) describeMove(d *detector.Decision) *message.Move {
	if c == nil || d.Verdict != detector.Changed {
		return nil
	}
	return &message.Move{Order: c.shared.StatementOrder(ownership.AgentID(d.ID), d.To != detector.Disconnected)}
}

func departureReason(r detector.Reason) ownership.Reason {
	switch r {
	case detector.AgentShutdown:
		return ownership.Stopped
	case detector.AgentRemoved:
		return ownership.Removed
	case detector.AgentMoved:
		return ownership.Moved
	}
	return ownership.Lost
}
