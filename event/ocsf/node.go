package ocsf

import (
	"fmt"
	"strconv"

	"github.com/wazuh-pulse/pulse/event"
)

// outageEvent returns the incident of a fleet outage: its beginning, or its end.
func outageEvent(m *event.FleetOutageMessage) *Event {
	o, activity := m.Outage, createFinding
	if o == nil {
		o, activity = m.Recovered, closeFinding
	}
	text := fmt.Sprintf("%d of %d Wazuh agents of %s are lost at once", o.AgentsLost, o.AgentsWatched, o.ManagerNode)
	if activity == closeFinding {
		text = fmt.Sprintf("%d of the %d Wazuh agents of %s that were lost at once are back", o.AgentsBack, o.AgentsLost, o.ManagerNode)
	}
	info := &FindingInfo{UID: nodeFindingUID(o.ManagerNode, "fleet_outage", o.Since), Title: "Outage of the fleet of Wazuh agents",
		Description: text, CreatedTime: o.Since * 1000, Analytic: &Analytic{Name: "share of the fleet lost at once", TypeID: 3, Type: "Statistical"}}
	e := newIncident(activity, o.AlertLevel, o.Since, o.Timestamp, &m.Security, info, text)
	e.Unmapped = map[string]any{"manager_node": o.ManagerNode, "alert_level": o.AlertLevel, "agents_watched": o.AgentsWatched,
		"agents_lost": o.AgentsLost, "agents_back": o.AgentsBack, "connections_closed": o.ConnectionsClosed, "fell_silent": o.FellSilent,
		"hosts_probed": o.HostsProbed, "hosts_answered": o.HostsAnswered, "networks": o.Networks}
	return e
}

// conditionEvent returns the finding of a condition of a node: its beginning, or its end.
func conditionEvent(m *event.NodeConditionMessage) *Event {
	c, activity := &m.Condition, createFinding
	if c.State == event.ConditionEnded {
		activity = closeFinding
	}
	e := newEvent(detection, activity, "", c.AlertLevel, c.Since, &m.Security)
	e.StartTime = c.Since * 1000
	e.Message = fmt.Sprintf("Pulse on %s: %s", c.ManagerNode, c.Problem)
	e.FindingInfo = &FindingInfo{UID: nodeFindingUID(c.ManagerNode, c.Code, c.Since), Title: "Condition of a Pulse node: " + c.Code,
		Description: c.Problem, CreatedTime: c.Since * 1000, Types: []string{c.Code}}
	if activity == closeFinding {
		e.EndTime = c.Timestamp * 1000
		e.Message = fmt.Sprintf("Pulse on %s: ended: %s", c.ManagerNode, c.Problem)
	}
	e.StatusCode = c.Code
	e.Unmapped = map[string]any{"manager_node": c.ManagerNode, "alert_level": c.AlertLevel}
	e.setFindingStatus()
	return e
}

// nodeLossEvent returns the incident of a lost node: its beginning, or its end.
func nodeLossEvent(m *event.NodeLostMessage) *Event {
	l, activity := m.Lost, createFinding
	if l == nil {
		l, activity = m.Back, closeFinding
	}
	text := fmt.Sprintf("Node %s is lost, which watched %d Wazuh agents", l.Node, l.Agents)
	if activity == closeFinding {
		text = fmt.Sprintf("Node %s is back, and watches %d Wazuh agents", l.Node, l.Agents)
	}
	info := &FindingInfo{UID: "pulse:node:" + l.Node + ":node_lost", Title: "Node lost", Description: text, CreatedTime: l.Since * 1000,
		Analytic: &Analytic{Name: "heartbeat of the node", TypeID: 2, Type: "Behavioral"}}
	e := newIncident(activity, l.AlertLevel, l.Since, l.Timestamp, &m.Security, info, text)
	e.Unmapped = map[string]any{"node": l.Node, "announced_by": l.AnnouncedBy, "alert_level": l.AlertLevel, "agents": l.Agents}
	if l.Manager != "" {
		e.Unmapped["manager"] = l.Manager
	}
	return e
}

func nodeFindingUID(node, what string, since int64) string {
	return "pulse:node:" + node + ":" + what + ":" + strconv.FormatInt(since, 10)
}
