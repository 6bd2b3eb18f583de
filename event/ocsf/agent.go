package ocsf

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// statusChangeEvents returns the events of a status change: of an alert, a finding; of a
// change, its part in the agent's life, and the end of the finding if the agent is back.
func statusChangeEvents(m *event.StatusChangeMessage) []*Event {
	if strings.HasSuffix(m.Security.Subject, event.Prefix("").AgentDisconnected()) {
		return []*Event{awayFinding(m)}
	}
	events := []*Event{lifecycleEvent(m)}
	if c := &m.StatusChange; c.PreviousStatus == event.Disconnected && (c.CurrentStatus == event.Active || c.CurrentStatus == event.Pending) {
		events = append(events, awayFinding(m))
	}
	return events
}

// lifecycleEvent returns a status change as part of the life of the agent's program.
func lifecycleEvent(m *event.StatusChangeMessage) *Event {
	c := &m.StatusChange
	activity := otherActivity
	switch c.Reason {
	case event.Startup:
		activity = startApplication
	case event.AgentShutdown:
		activity = stopApplication
	}
	e := newEvent(lifecycle, activity, string(c.Reason), c.AlertLevel, c.Timestamp, &m.Security)
	e.Message = fmt.Sprintf("Wazuh agent %s (%s) is %s: %s", c.AgentID, c.AgentName, c.CurrentStatus, c.Reason)
	e.StatusID, e.Status, e.StatusCode = otherActivity, c.CurrentStatus.String(), string(c.Reason)
	e.App = &Product{Name: "Wazuh agent", VendorName: "Wazuh", Version: c.AgentVersion}
	e.Metadata.Profiles = []string{"host"}
	e.Device = newDevice(c.AgentID, c.AgentName, c.IPAddress, &c.AgentInfo)
	e.Unmapped = unmappedOfChange(c)
	return e
}

// awayFinding returns the finding that an agent is away: its creation, its update after a
// time, or its end.
func awayFinding(m *event.StatusChangeMessage) *Event {
	c := &m.StatusChange
	activity := createFinding
	switch {
	case c.CurrentStatus != event.Disconnected:
		activity = closeFinding
	case c.AwayFor > 0:
		activity = updateFinding
	}
	e := newEvent(detection, activity, "", c.AlertLevel, c.Timestamp, &m.Security)
	e.FindingInfo = &FindingInfo{UID: agentFindingUID(c.AgentID, "away"), Title: "Wazuh agent away",
		LastSeenTime: c.LastSeen * 1000, Types: []string{string(c.Reason)}, Analytic: &Analytic{Name: "heartbeat of the agent", TypeID: 2, Type: "Behavioral"}, Attacks: attacksOf(c.Technique)}
	if isAddress(c.IPAddress) {
		e.FindingInfo.DataSources = []string{c.IPAddress}
	}
	e.Message = describeAway(c, activity)
	if activity != closeFinding {
		e.FindingInfo.CreatedTime = c.Timestamp * 1000
		e.FindingInfo.Description = describeEvidence(&c.Evidence)
	}
	e.StatusCode = string(c.Reason)
	e.Device = newDevice(c.AgentID, c.AgentName, c.IPAddress, &c.AgentInfo)
	e.Unmapped = unmappedOfChange(c)
	e.setFindingStatus()
	return e
}

func describeAway(c *event.StatusChange, activity int) string {
	agent := fmt.Sprintf("Wazuh agent %s (%s)", c.AgentID, c.AgentName)
	switch activity {
	case closeFinding:
		return agent + " is back"
	case updateFinding:
		return fmt.Sprintf("%s has been away for %s: %s", agent, time.Duration(c.AwayFor)*time.Second, c.Reason)
	}
	return fmt.Sprintf("%s is away: %s", agent, c.Reason)
}

func describeEvidence(e *event.Evidence) string {
	return strings.Join(e.Confidence, ", ")
}

// flappingEvent returns the finding that an agent's status changes too often.
func flappingEvent(m *event.AgentFlappingMessage) *Event {
	f := &m.Flapping
	e := newEvent(detection, createFinding, "", f.AlertLevel, f.Timestamp, &m.Security)
	e.Message = fmt.Sprintf("The status of Wazuh agent %s (%s) has changed %d times within %s", f.AgentID, f.AgentName, f.StatusChanges,
		time.Duration(f.Window)*time.Second)
	e.FindingInfo = &FindingInfo{UID: agentFindingUID(f.AgentID, "flapping"), Title: "Wazuh agent flapping", CreatedTime: f.Timestamp * 1000,
		Analytic: &Analytic{Name: "changes of status within a window", TypeID: 3, Type: "Statistical"}}
	e.Device = newDevice(f.AgentID, f.AgentName, f.IPAddress, &event.AgentInfo{})
	e.Unmapped = map[string]any{"status_changes": f.StatusChanges, "window": f.Window, "alert_level": f.AlertLevel}
	e.setFindingStatus()
	return e
}

// duplicateEvent returns the finding that two machines have the key of one agent.
func duplicateEvent(m *event.AgentDuplicatedMessage) *Event {
	d := &m.Duplicated
	e := newEvent(detection, createFinding, "", d.AlertLevel, d.Timestamp, &m.Security)
	e.Message = fmt.Sprintf("Two machines have the key of Wazuh agent %s (%s)", d.AgentID, d.AgentName)
	e.FindingInfo = &FindingInfo{UID: agentFindingUID(d.AgentID, "duplicated"), Title: "Wazuh agent duplicated", CreatedTime: d.Timestamp * 1000,
		Analytic: &Analytic{Name: "signs of life of two machines", TypeID: 2, Type: "Behavioral"}}
	for _, machine := range d.Machines {
		if isAddress(machine.IPAddress) {
			e.FindingInfo.DataSources = append(e.FindingInfo.DataSources, machine.IPAddress)
		}
	}
	e.Device = newDevice(d.AgentID, d.AgentName, "", &event.AgentInfo{})
	e.Unmapped = map[string]any{"machines": d.Machines, "alert_level": d.AlertLevel}
	e.setFindingStatus()
	return e
}

func isAddress(text string) bool {
	_, err := netip.ParseAddr(text)
	return err == nil
}

func agentFindingUID(agentID, what string) string { return "pulse:agent:" + agentID + ":" + what }

// newDevice returns the host of an agent. What an agent is registered under ("any", a
// network) is no address of it.
func newDevice(agentID, name, address string, info *event.AgentInfo) *Device {
	d := &Device{TypeID: 0, Type: "Unknown", Name: cmp.Or(name, agentID), AgentList: []Agent{{UID: agentID, Name: name, TypeID: 1,
		Type: "Endpoint Detection and Response", VendorName: "Wazuh", Version: info.AgentVersion}}}
	if ip, err := netip.ParseAddr(address); err == nil {
		d.IP = ip.WithZone("").String()
	}
	if info.OSName != "" {
		d.OS = &OS{Name: info.OSName, TypeID: osType(info.OSName), Version: info.OSVersion}
	}
	for _, g := range info.WazuhGroups {
		d.Groups = append(d.Groups, Group{Name: g})
	}
	return d
}

// osTypes are the schema's types of operating systems, by what a name of one contains.
// Wazuh names a Linux by its distribution, so that is what remains.
var osTypes = []struct {
	part string
	id   int
}{{"windows", 100}, {"macos", 300}, {"mac os", 300}, {"darwin", 300}, {"solaris", 400}, {"sunos", 400}, {"aix", 401}, {"hp-ux", 402}, {"bsd", 99}}

func osType(name string) int {
	name = strings.ToLower(name)
	for _, t := range osTypes {
		if strings.Contains(name, t.part) {
			return t.id
		}
	}
	return 200
}

// attacksOf returns a technique as the schema has it; nil for none.
func attacksOf(technique string) []Attack {
	if technique == "" {
		return nil
	}
	parent, _, isSub := strings.Cut(technique, ".")
	a := Attack{Technique: Named{UID: parent}}
	if technique == event.ImpairDefenses {
		a.Tactic = Named{UID: "TA0005", Name: "Defense Evasion"}
		a.Technique.Name = "Impair Defenses"
		a.SubTechnique = &Named{UID: technique, Name: "Disable or Modify Tools"}
	} else if isSub {
		a.SubTechnique = &Named{UID: technique}
	}
	return []Attack{a}
}

// unmappedOfChange returns the fields of a status change that the schema has no attribute
// for, under their own names.
func unmappedOfChange(c *event.StatusChange) map[string]any {
	u := map[string]any{"previous_status": int(c.PreviousStatus), "current_status": int(c.CurrentStatus), "alert_level": c.AlertLevel,
		"missed_keepalives": c.MissedKeepAlives}
	for name, value := range map[string]string{"host": string(c.Host), "host_probe": c.HostProbe, "outage_part": c.OutagePart,
		"from_node": c.FromNode, "to_node": c.ToNode} {
		if value != "" {
			u[name] = value
		}
	}
	for name, value := range map[string]int64{"host_probed_at": c.HostProbedAt, "away_for": c.AwayFor, "last_seen": c.LastSeen,
		"status_changes": int64(c.StatusChanges)} {
		if value != 0 {
			u[name] = value
		}
	}
	for name, value := range map[string]bool{"outage": c.Outage, "silenced": c.Silenced} {
		if value {
			u[name] = true
		}
	}
	if len(c.Confidence) > 0 {
		u["confidence"] = c.Confidence
	}
	return u
}
