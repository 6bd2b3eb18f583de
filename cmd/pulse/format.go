package main

import (
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// formatMessage returns a message as one line of text; an unknown message is quoted.
func formatMessage(data []byte) string {
	m, err := event.Parse(data)
	if err != nil {
		return fmt.Sprintf("%q", data)
	}
	switch m := m.(type) {
	case *event.KeepAliveMessage:
		return formatKeepAlive(&m.Event)
	case *event.StatusChangeMessage:
		return formatStatusChange(&m.StatusChange)
	case *event.ManagerStatusMessage:
		return managerInWords(&m.ManagerStatus)
	case *event.FleetOutageMessage:
		if m.Recovered != nil {
			r := m.Recovered
			return fmt.Sprintf("%s fleet recovered: %d of %d lost agents are back, outage since %s, alert level %d", formatClock(r.Time()),
				r.AgentsBack, r.AgentsLost, formatClock(r.SinceTime()), r.AlertLevel)
		}
		return formatOutage(m.Outage)
	case *event.AgentFlappingMessage:
		f := &m.Flapping
		return fmt.Sprintf("%s %s flaps (%s, %s): %d status changes within %d s, alert level %d", formatClock(f.Time()), f.AgentID,
			f.AgentName, f.IPAddress, f.StatusChanges, f.Window, f.AlertLevel)
	case *event.NodeConditionMessage:
		c := &m.Condition
		return fmt.Sprintf("%s %s condition %s %s: %s, alert level %d", formatClock(c.Time()), c.ManagerNode, c.Code, c.State, c.Problem, c.AlertLevel)
	}
	return fmt.Sprintf("%q", data)
}

func managerInWords(s *event.ManagerStatus) string {
	a := s.Agents
	line := fmt.Sprintf("%s %s watches: %d active, %d disconnected, %d pending, %d never connected", formatClock(s.Time()),
		s.ManagerNode, a.Active, a.Disconnected, a.Pending, a.NeverConnected)
	if a.Dormant > 0 {
		line += fmt.Sprintf(", %d of the disconnected dormant", a.Dormant)
	}
	if l := s.Audit; l != nil && l.State == event.AuditFailing {
		line += ", its audit log cannot be written"
	}
	return line
}

func formatStatusChange(c *event.StatusChange) string {
	line := fmt.Sprintf("%s %s %v → %v (%s, %s): %s, %d missed, alert level %d", formatClock(c.Time()), c.AgentID,
		c.PreviousStatus, c.CurrentStatus, c.AgentName, c.IPAddress, c.Reason, c.MissedKeepAlives, c.AlertLevel)
	for _, note := range noteChange(c) {
		line += ", " + note
	}
	return line
}

// noteChange lists what is remarkable about a status change, in words.
func noteChange(c *event.StatusChange) (notes []string) {
	add := func(remarkable bool, note string) {
		if remarkable {
			notes = append(notes, note)
		}
	}
	switch c.Host {
	case event.HostAnswers, event.HostSilent:
		notes = append(notes, fmt.Sprintf("its host %s (%s)", map[event.Host]string{event.HostAnswers: "answers", event.HostSilent: "is silent"}[c.Host], c.HostProbe))
	}
	add(c.Technique != "", c.Technique)
	add(c.AwayFor > 0, "away for "+formatAge(c.AwayDuration()))
	add(c.Outage, "part of an outage")
	add(c.Silenced, "silenced")
	return notes
}

func formatOutage(o *event.FleetOutage) string {
	line := fmt.Sprintf("%s fleet outage since %s: %d of %d agents lost, %d fell silent, %d closed their connections, alert level %d",
		formatClock(o.Time()), formatClock(o.SinceTime()), o.AgentsLost, o.AgentsWatched, o.FellSilent, o.ConnectionsClosed, o.AlertLevel)
	if o.HostsProbed > 0 {
		line += fmt.Sprintf(", %d of %d hosts answer", o.HostsAnswered, o.HostsProbed)
	}
	for _, n := range o.Networks {
		line += fmt.Sprintf(", %d in %s", n.Agents, n.Network)
	}
	return line
}

func formatKeepAlive(k *event.KeepAlive) string {
	line := fmt.Sprintf("%s %s %s (%s)", formatClock(k.Time()), k.AgentID, k.EventType, k.AgentName)
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

func formatClock(t time.Time) string { return t.Format(time.TimeOnly) }

// statusNames has the names of statuses by their number in messages.
var statusNames = []string{"active", "disconnected", "pending", "never_connected"}

func countNoun(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// formatAge returns a duration, rounded for reading.
func formatAge(d time.Duration) string {
	switch {
	case d < 0: // two clocks differ
		return "0s"
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
