package message

import (
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/evidence"
)

// NewStatusChange returns the body of the message of a Changed, AlertReleased or Escalated
// record.
func NewStatusChange(r *Record) event.StatusChange {
	change := evidence.OfDecision(&r.Decision)
	c := event.StatusChange{AgentID: r.ID.String(), AgentName: r.Name,
		PreviousStatus: event.Status(r.From), CurrentStatus: event.Status(r.To), IPAddress: r.IP,
		Timestamp: r.Time.Unix(), Reason: event.Reason(r.Reason.String()), MissedKeepAlives: r.Missed,
		AlertLevel: change.AlertLevel(), Outage: r.Outage, OutagePart: r.Part.String(), StatusChanges: r.Changes,
		Evidence: change.Message(), AwayFor: int64(r.AwayFor / time.Second), Silenced: r.Silenced, AgentInfo: evidence.InfoMessage(r.Info)}
	if r.Cluster != nil {
		c.FromNode, c.ToNode, c.ClusterOrder = r.Cluster.From, r.Cluster.To, r.Cluster.Order
	}
	if r.Seen {
		c.LastSeen = r.LastSeenTime.Unix()
	}
	return c
}

// NewFleetOutage returns the body of the message of an OutageBegan or OutageEnded record of
// a node.
func NewFleetOutage(node string, r *Record) event.FleetOutage {
	o := event.FleetOutage{ManagerNode: node, Timestamp: r.Time.Unix(), Since: r.Fleet.SinceTime.Unix(),
		AgentsWatched: r.Fleet.Watched, AgentsLost: r.Fleet.Lost, ConnectionsClosed: r.Fleet.Closed, FellSilent: r.Fleet.Silent,
		AgentsBack: r.Fleet.Back, HostsProbed: r.Fleet.HostsProbed, HostsAnswered: r.Fleet.HostsAnswered, Networks: make([]event.Network, 0, len(r.Fleet.Networks)), AlertLevel: alertlevel.Recovered}
	if r.Verdict == detector.OutageBegan {
		o.AlertLevel = alertlevel.Outage
	}
	for _, n := range r.Fleet.Networks {
		o.Networks = append(o.Networks, event.Network{Network: n.Prefix.String(), Agents: n.Lost})
	}
	return o
}

// NewFlapping returns the body of the message of a Flapping record.
func NewFlapping(r *Record) event.AgentFlapping {
	return event.AgentFlapping{AgentID: r.ID.String(), AgentName: r.Name, IPAddress: r.IP, Timestamp: r.Time.Unix(),
		StatusChanges: r.Changes, Window: WholeSeconds(r.Group.FlapWindow), AlertLevel: alertlevel.Flapping}
}

// CompleteCondition returns a node's condition with its node, time and alert level.
func CompleteCondition(node string, c event.NodeCondition, failure bool, now time.Time) event.NodeCondition {
	c.ManagerNode, c.Timestamp, c.AlertLevel = node, now.Unix(), alertlevel.OfCondition(c.State, failure)
	return c
}
