package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// inWords tells a message in a line; one it does not know, as it is.
func inWords(data []byte) string {
	var m struct {
		KeepAlive *event.KeepAlive     `json:"event"`
		Change    *event.StatusChange  `json:"status_change"`
		Manager   *event.ManagerStatus `json:"manager_status"`
		Outage    *event.FleetOutage   `json:"fleet_outage"`
		Recovered *event.FleetOutage   `json:"fleet_recovered"`
		Flapping  *event.AgentFlapping `json:"agent_flapping"`
		Condition *event.NodeCondition `json:"node_condition"`
	}
	err := json.Unmarshal(data, &m)
	switch {
	case err != nil:
	case m.KeepAlive != nil:
		return keepAliveInWords(m.KeepAlive)
	case m.Change != nil:
		return changeInWords(m.Change)
	case m.Manager != nil:
		a := m.Manager.Agents
		line := fmt.Sprintf("%s %s watches: %d active, %d disconnected, %d pending, %d never connected", clock(m.Manager.Timestamp),
			m.Manager.ManagerNode, a.Active, a.Disconnected, a.Pending, a.NeverConnected)
		if l := m.Manager.Audit; l != nil && l.State == event.AuditFailing {
			line += ", its audit log cannot be written"
		}
		return line
	case m.Outage != nil:
		return outageInWords(m.Outage)
	case m.Recovered != nil:
		r := m.Recovered
		return fmt.Sprintf("%s fleet recovered: %d of %d lost agents are back, outage since %s, alert level %d", clock(r.Timestamp),
			r.AgentsBack, r.AgentsLost, clock(r.Since), r.AlertLevel)
	case m.Flapping != nil:
		f := m.Flapping
		return fmt.Sprintf("%s %s flaps (%s, %s): %d status changes within %d s, alert level %d", clock(f.Timestamp), f.AgentID,
			f.AgentName, f.IPAddress, f.StatusChanges, f.Window, f.AlertLevel)
	case m.Condition != nil:
		c := m.Condition
		return fmt.Sprintf("%s %s condition %s %s: %s, alert level %d", clock(c.Timestamp), c.ManagerNode, c.Code, c.State, c.Problem, c.AlertLevel)
	}
	return fmt.Sprintf("%q", data)
}

func changeInWords(c *event.StatusChange) string {
	line := fmt.Sprintf("%s %s %s → %s (%s, %s): %s, %d missed, alert level %d", clock(c.Timestamp), c.AgentID,
		statusName(c.PreviousStatus), statusName(c.CurrentStatus), c.AgentName, c.IPAddress, c.Reason, c.MissedKeepAlives, c.AlertLevel)
	if c.Outage {
		line += ", part of an outage"
	}
	return line
}

func outageInWords(o *event.FleetOutage) string {
	line := fmt.Sprintf("%s fleet outage since %s: %d of %d agents lost, %d fell silent, %d closed their connections, alert level %d",
		clock(o.Timestamp), clock(o.Since), o.AgentsLost, o.AgentsWatched, o.FellSilent, o.ConnectionsClosed, o.AlertLevel)
	for _, n := range o.Networks {
		line += fmt.Sprintf(", %d in %s", n.Agents, n.Network)
	}
	return line
}

func keepAliveInWords(k *event.KeepAlive) string {
	line := fmt.Sprintf("%s %s %s (%s)", clock(k.Timestamp), k.AgentID, k.EventType, k.AgentName)
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

func statusName(s event.Status) string {
	if s < 0 || int(s) >= len(statuses) {
		return fmt.Sprintf("status %d", s)
	}
	return statuses[s]
}

func clock(unix int64) string { return time.Unix(unix, 0).Format(time.TimeOnly) }
