package daemon

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/attach"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/fleet"
	"github.com/wazuh-pulse/pulse/internal/inventory"
	"github.com/wazuh-pulse/pulse/internal/listen"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/silence"
	"github.com/wazuh-pulse/pulse/internal/silencer"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhevent"
)

// link is the connection to the agents. It is made with the detector to
// report to, and brings the inventory too.
type link interface {
	// KeepAlive sends an agent the keep-alive with a token. It does not wait for
	// the agent, nor for anything else.
	KeepAlive(id detector.AgentID, token uint32) error
	// OnDecision is called with the record of every decision that is not routine,
	// OnCondition with each condition of the node that begins or ends, and OnSilence with
	// each change of a silence. They do not wait either.
	OnDecision(r *message.Record)
	OnCondition(c *event.NodeCondition)
	OnSilence(change silencer.Change, s *silence.Silence, peer string)
	// Identify returns what is known of an agent of any node. It may be called concurrently.
	Identify(id detector.AgentID) fleet.Identity
	// OnClusterAlert is called, on the master's node, with each alert about nodes, and about
	// agents that are on several. It does not wait.
	OnClusterAlert(a *message.ClusterAlert)
	// Run gives the detector its agents, and reports their signs of life until
	// ctx ends.
	Run(ctx context.Context)
	// Close closes what is open of a link that did not run.
	Close()
	// Addr returns where agents connect; not valid if they connect to a manager.
	Addr() netip.AddrPort
	Status() Link
}

// Link is the state of the link to the agents.
type Link struct {
	Kind          event.LinkKind    `json:"kind"`
	*listen.Stats                   // only if Pulse is the agents' manager
	Attach        *attach.Stats     `json:"attach,omitempty"`    // only if a stock manager is
	Inventory     *inventory.Status `json:"inventory,omitempty"` // the list of agents
}

// openLink opens the link that the settings name. With auto, Pulse attaches to a
// manager on this host, and only takes its place if there is none.
func openLink(cfg *config.Config, set *detector.Settings, clock *detector.Clock, to *detector.Detector, part *clusterPart, onDuplicated func(detector.AgentID, netip.Addr, netip.Addr), audit *audittrail.Trail, log *slog.Logger) (link, error) {
	attaches, err := Attaches(cfg)
	if err != nil {
		return nil, fmt.Errorf("find out whether a manager is installed in %s (<pulse><link> is auto): %w", cfg.Pulse.Home, err)
	}
	if attaches {
		return openAttachLink(cfg, set, clock, to, part, log)
	}
	return openListenLink(cfg, set, clock, to, part, onDuplicated, audit, log)
}

// stateMessage returns the link's state as the heartbeat publishes it.
func (l *Link) stateMessage() event.LinkState {
	s := event.LinkState{Kind: l.Kind}
	switch {
	case l.Stats != nil:
		s.Connections, s.Agents = l.Connections, l.Agents
	case l.Attach != nil:
		s.Connections, s.Agents, s.Problem = l.Attach.Connections, int(l.Attach.Agents), l.Attach.Problem
	}
	return s
}

// attachLink is the link to a stock manager on this host, with its database for
// the inventory.
type attachLink struct {
	*attach.Link
	events *managerEvents
}

func openAttachLink(cfg *config.Config, set *detector.Settings, clock *detector.Clock, to *detector.Detector, part *clusterPart, log *slog.Logger) (link, error) {
	place, cautions, err := readClusterRole(cfg)
	if err != nil {
		return nil, err
	}
	for _, text := range cautions {
		log.Warn("pulse does not follow all of the manager's ossec.conf", "home", cfg.Pulse.Home, "caution", text)
	}
	if caution, advice := nameCaution(cfg, place, part != nil); caution != "" {
		log.Warn("this node and its manager have two names", "caution", caution, "hint", advice)
	}
	l, err := attach.Open(attach.Config{Home: cfg.Pulse.Home, Cluster: place, Shared: part.linkView(), Method: set.Method, MaxInFlight: cfg.Pulse.MaxInFlight,
		Grace: set.ReconnectGrace, Timeout: set.Timeout, UpdateStatus: cfg.Pulse.UpdateStatus,
		Clock: clock, Fleet: part.shareFleet(to), Log: log})
	if err != nil {
		return nil, fmt.Errorf("attach to the manager in %s: %w", cfg.Pulse.Home, err)
	}
	return &attachLink{l, newManagerEvents(cfg.Pulse.NodeName, to, l.QueueEvent)}, nil
}

func (a *attachLink) OnDecision(r *message.Record) {
	a.Link.OnDecision(&r.Decision)
	a.events.addDecision(r)
}

func (a *attachLink) OnCondition(c *event.NodeCondition) { a.events.addCondition(c) }

func (a *attachLink) OnSilence(change silencer.Change, s *silence.Silence, peer string) {
	a.events.addSilence(change, s, peer)
}

func (a *attachLink) Identify(id detector.AgentID) fleet.Identity {
	name, registered, info := a.Link.Identify(id)
	return fleet.Identity{Name: name, IP: registered, Info: info}
}
func (a *attachLink) OnClusterAlert(alert *message.ClusterAlert) { a.events.addClusterAlert(alert) }

func (a *attachLink) Run(ctx context.Context) {
	a.events.restoreAnnounced()
	a.Link.Run(ctx)
}

// readClusterRole reads the manager's role in its cluster from its settings, and which
// of them Pulse does not follow.
func readClusterRole(cfg *config.Config) (_ wazuhdb.ClusterRole, cautions []string, _ error) {
	if err := attach.CheckHome(cfg.Pulse.Home); err != nil {
		return wazuhdb.ClusterRole{}, nil, fmt.Errorf("attach to the manager: %w", err)
	}
	manager, err := config.ReadManager(cfg.Pulse.Home)
	if err != nil {
		return wazuhdb.ClusterRole{}, nil, fmt.Errorf("attach to the manager in %s (<pulse><home>): %w", cfg.Pulse.Home, err)
	}
	if !manager.Clustered {
		return wazuhdb.ClusterRole{}, manager.Cautions, nil
	}
	if manager.NodeName == "" && !attach.IsWazuh5(cfg.Pulse.Home) { // where no row has a node
		return wazuhdb.ClusterRole{}, nil, fmt.Errorf("attach to the manager in %s: its <cluster> has no <node_name>", cfg.Pulse.Home)
	}
	return wazuhdb.ClusterRole{Node: cmp.Or(manager.NodeName, cfg.Pulse.NodeName), Worker: manager.Worker}, manager.Cautions, nil
}

// nameCaution returns what is wrong where a node that shares its agents with others has another
// name than its manager, whose name the rows have: "" if nothing is. Rows of Wazuh 5 name no node.
func nameCaution(cfg *config.Config, place wazuhdb.ClusterRole, shared bool) (caution, advice string) {
	if !shared || place.Node == cfg.Pulse.NodeName || attach.IsWazuh5(cfg.Pulse.Home) {
		return "", ""
	}
	return fmt.Sprintf("the manager's node is called %s, and this Pulse %s: should only its Pulse fail, the others cannot see that its manager works, and its agents are lost with it", place.Node, cfg.Pulse.NodeName),
		fmt.Sprintf("give both one name: %s in <pulse><node_name> and with pulse provision, or %s in the manager's <cluster>", place.Node, cfg.Pulse.NodeName)
}

// Addr returns no valid address: agents connect to the manager.
func (a *attachLink) Addr() netip.AddrPort { return netip.AddrPort{} }

func (a *attachLink) Status() Link {
	stats, list := a.Stats(), a.Vanished()
	return Link{Kind: event.LinkAttach, Attach: &stats, Inventory: &inventory.Status{Agents: list.Agents, Held: list.Held, Until: list.Until.UTC()}}
}

// Attaches reports whether a node with these settings has a stock manager's agents.
func Attaches(cfg *config.Config) (bool, error) {
	if cfg.Pulse.Link != "auto" {
		return cfg.Pulse.Link == "attach", nil
	}
	return attach.IsInstalled(cfg.Pulse.Home)
}

// IsWazuh5 reports whether the manager that a node would attach to is of Wazuh 5.
func IsWazuh5(cfg *config.Config) bool { return attach.IsWazuh5(cfg.Pulse.Home) }

// ExamineManager tries the sockets of the manager that a node would attach to.
func ExamineManager(ctx context.Context, cfg *config.Config) ([]attach.SocketCheck, error) {
	method, err := detector.ParseMethod(cfg.KeepAlive.Method)
	if err != nil {
		return nil, err
	}
	place, _, err := readClusterRole(cfg)
	if err != nil {
		return nil, err
	}
	if _, place.Shared, err = readClusterMembership(cfg); err != nil {
		return nil, err
	}
	list := attach.CheckSockets(ctx, attach.Config{Home: cfg.Pulse.Home, Cluster: place, Method: method, UpdateStatus: cfg.Pulse.UpdateStatus})
	if caution, advice := nameCaution(cfg, place, place.Shared); caution != "" {
		list = append(list, attach.SocketCheck{Caution: caution, Hint: advice})
	}
	return list, nil
}

// managerEvents decides which decisions become events in the stock manager that the node
// is attached to: those that ask for somebody's attention, and the end of each. A loss is
// one when its alert is due, and an agent's return is one if there was one of its absence,
// so that an outage is two events, and not two for each agent.
type managerEvents struct {
	node  string
	fleet *detector.Detector
	queue func(format func() string)

	mu        sync.Mutex
	announced map[detector.AgentID]struct{} // agents that are away, and of which there was an event
}

func newManagerEvents(node string, fleet *detector.Detector, queue func(func() string)) *managerEvents {
	return &managerEvents{node: node, fleet: fleet, queue: queue, announced: make(map[detector.AgentID]struct{})}
}

// restoreAnnounced adds the agents whose losses an earlier run of the node has announced.
func (e *managerEvents) restoreAnnounced() {
	for n, more := 0, true; more; n++ {
		var page []detector.Record
		page, more = e.fleet.Page(n)
		e.mu.Lock()
		for i := range page {
			if r := &page[i]; r.Status == detector.Disconnected && r.Reason.IsLoss() && !r.AlertHeld {
				e.announced[r.ID] = struct{}{}
			}
		}
		e.mu.Unlock()
	}
}

// addDecision queues the event of a decision, if it has one.
func (e *managerEvents) addDecision(r *message.Record) {
	switch r.Verdict {
	case detector.Changed:
		e.addChange(r)
	case detector.AlertReleased:
		if r.Reason.IsLoss() { // a goodbye's may be held too, by a silence
			e.announceAbsence(wazuhevent.AgentLost, r)
		}
	case detector.Escalated:
		e.announceAbsence(wazuhevent.AgentAway, r)
	case detector.Flapping:
		kept := *r
		e.queue(func() string { return wazuhevent.FormatFlapping(e.node, message.NewFlapping(&kept)) })
	case detector.OutageBegan:
		e.queueOutage(wazuhevent.FleetOutage, r)
	case detector.OutageEnded:
		e.queueOutage(wazuhevent.FleetRecovered, r)
	}
}

// addChange queues the event of a loss whose alert is not held, or of a return.
func (e *managerEvents) addChange(r *message.Record) {
	switch {
	case r.To == detector.Disconnected && r.Reason.IsLoss() && !r.AlertHeld:
		e.announceAbsence(wazuhevent.AgentLost, r)
	case r.To == detector.Active && e.removeAnnounced(r.ID):
		e.queueChange(wazuhevent.AgentBack, r)
	case r.Reason == detector.AgentRemoved, r.Reason == detector.AgentMoved:
		e.removeAnnounced(r.ID)
	}
}

func (e *managerEvents) announceAbsence(kind wazuhevent.Kind, r *message.Record) {
	e.mu.Lock()
	e.announced[r.ID] = struct{}{}
	e.mu.Unlock()
	e.queueChange(kind, r)
}

// removeAnnounced removes an agent, and reports whether it was announced.
func (e *managerEvents) removeAnnounced(id detector.AgentID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	_, was := e.announced[id]
	delete(e.announced, id)
	return was
}

func (e *managerEvents) queueChange(kind wazuhevent.Kind, r *message.Record) {
	kept := *r
	e.queue(func() string { return wazuhevent.FormatStatusChange(kind, e.node, message.NewStatusChange(&kept)) })
}

func (e *managerEvents) queueOutage(kind wazuhevent.Kind, r *message.Record) {
	kept := *r
	e.queue(func() string { return wazuhevent.FormatOutage(kind, message.NewFleetOutage(e.node, &kept)) })
}

// addSilence queues the event of a change of a silence.
func (e *managerEvents) addSilence(change silencer.Change, s *silence.Silence, peer string) {
	entry := s.Entry()
	body := wazuhevent.Silence{ID: entry.ID, State: event.ConditionBegan, Change: string(change), Selects: entry.Selects(), Times: entry.Times(),
		Comment: entry.Comment, By: entry.By, EndedBy: entry.EndedBy, Peer: peer, Timestamp: time.Now().Unix()}
	if change != silencer.Added && change != silencer.Began {
		body.State = event.ConditionEnded
	}
	e.queue(func() string { return wazuhevent.FormatSilence(e.node, body) })
}

// addCondition queues the event of a condition of the node.
func (e *managerEvents) addCondition(c *event.NodeCondition) {
	kept := *c
	e.queue(func() string { return wazuhevent.FormatCondition(kept) })
}

// addClusterAlert queues the event of an alert about nodes, or about an agent on several.
func (e *managerEvents) addClusterAlert(a *message.ClusterAlert) {
	kept := *a
	e.queue(func() string {
		switch {
		case kept.Lost != nil:
			return wazuhevent.FormatNodeLoss(wazuhevent.NodeLost, *kept.Lost)
		case kept.Back != nil:
			return wazuhevent.FormatNodeLoss(wazuhevent.NodeBack, *kept.Back)
		}
		return wazuhevent.FormatDuplicated(e.node, *kept.Duplicated)
	})
}
