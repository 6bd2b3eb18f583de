package main

import (
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// inWords tells a message in a line; one it does not know, as it is.
func inWords(data []byte) string {
	m, err := event.Parse(data)
	if err != nil {
		return fmt.Sprintf("%q", data)
	}
	switch m := m.(type) {
	case *event.KeepAliveMessage:
		return keepAliveInWords(&m.Event)
	case *event.StatusChangeMessage:
		return changeInWords(&m.StatusChange)
	case *event.ManagerStatusMessage:
		return managerInWords(&m.ManagerStatus)
	case *event.FleetOutageMessage:
		if m.Recovered != nil {
			r := m.Recovered
			return fmt.Sprintf("%s fleet recovered: %d of %d lost agents are back, outage since %s, alert level %d", clock(r.Time()),
				r.AgentsBack, r.AgentsLost, clock(r.SinceTime()), r.AlertLevel)
		}
		return outageInWords(m.Outage)
	case *event.AgentFlappingMessage:
		f := &m.Flapping
		return fmt.Sprintf("%s %s flaps (%s, %s): %d status changes within %d s, alert level %d", clock(f.Time()), f.AgentID,
			f.AgentName, f.IPAddress, f.StatusChanges, f.Window, f.AlertLevel)
	case *event.NodeConditionMessage:
		c := &m.Condition
		return fmt.Sprintf("%s %s condition %s %s: %s, alert level %d", clock(c.Time()), c.ManagerNode, c.Code, c.State, c.Problem, c.AlertLevel)
	}
	return fmt.Sprintf("%q", data)
}

func managerInWords(s *event.ManagerStatus) string {
	a := s.Agents
	line := fmt.Sprintf("%s %s watches: %d active, %d disconnected, %d pending, %d never connected", clock(s.Time()),
		s.ManagerNode, a.Active, a.Disconnected, a.Pending, a.NeverConnected)
	if l := s.Audit; l != nil && l.State == event.AuditFailing {
		line += ", its audit log cannot be written"
	}
	return line
}

func changeInWords(c *event.StatusChange) string {
	line := fmt.Sprintf("%s %s %v → %v (%s, %s): %s, %d missed, alert level %d", clock(c.Time()), c.AgentID,
		c.PreviousStatus, c.CurrentStatus, c.AgentName, c.IPAddress, c.Reason, c.MissedKeepAlives, c.AlertLevel)
	if c.Outage {
		line += ", part of an outage"
	}
	return line
}

func outageInWords(o *event.FleetOutage) string {
	line := fmt.Sprintf("%s fleet outage since %s: %d of %d agents lost, %d fell silent, %d closed their connections, alert level %d",
		clock(o.Time()), clock(o.SinceTime()), o.AgentsLost, o.AgentsWatched, o.FellSilent, o.ConnectionsClosed, o.AlertLevel)
	for _, n := range o.Networks {
		line += fmt.Sprintf(", %d in %s", n.Agents, n.Network)
	}
	return line
}

func keepAliveInWords(k *event.KeepAlive) string {
	line := fmt.Sprintf("%s %s %s (%s)", clock(k.Time()), k.AgentID, k.EventType, k.AgentName)
	if k.RTT != nil {
		line += fmt.Sprintf(", %.1f ms", *k.RTT)
	}
	if k.Missed != nil {
		line += fmt.Sprintf(", %d missed", *k.Missed)
	}
	if k.Error != "" {
		line += ": " + k.Error
	}
	return line
}

func clock(t time.Time) string { return t.Format(time.TimeOnly) }
