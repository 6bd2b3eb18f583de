package daemon

import (
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// fleetOutage writes what an OutageBegan or OutageEnded record says.
func (w *writer) fleetOutage(r *record) outbox.Message {
	o := &event.FleetOutage{ManagerNode: w.source.Node, Timestamp: w.clock.Time(r.At).Unix(), Since: w.clock.Time(r.Fleet.Since).Unix(),
		AgentsWatched: r.Fleet.Watched, AgentsLost: r.Fleet.Lost, ConnectionsClosed: r.Fleet.Closed, FellSilent: r.Fleet.Silent,
		AgentsBack: r.Fleet.Back, Networks: make([]event.Network, 0, len(r.Fleet.Networks))}
	for _, n := range r.Fleet.Networks {
		o.Networks = append(o.Networks, event.Network{Network: n.Prefix.String(), Agents: n.Lost})
	}
	subject := w.prefix.FleetOutage()
	m := event.FleetOutageMessage{Security: w.source.Stamp(subject, time.Now())}
	if r.Verdict == detector.OutageBegan {
		m.Outage, o.AlertLevel = o, event.OutageLevel
	} else {
		m.Recovered, o.AlertLevel = o, event.RecoveredLevel
	}
	return w.pack(outbox.Status, subject, m.Security, m)
}

// flapping writes what a Flapping record says.
func (w *writer) flapping(r *record) outbox.Message {
	subject := w.prefix.AgentFlapping()
	m := event.AgentFlappingMessage{Security: w.source.Stamp(subject, time.Now()),
		Flapping: event.AgentFlapping{AgentID: r.ID.String(), AgentName: r.Name, IPAddress: r.IP, Timestamp: w.clock.Time(r.At).Unix(),
			StatusChanges: r.Changes, Window: seconds(r.group.flapWindow), AlertLevel: event.FlappingLevel}}
	return w.pack(outbox.Status, subject, m.Security, m)
}
