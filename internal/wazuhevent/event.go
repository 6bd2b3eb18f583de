package wazuhevent

import (
	"encoding/json"
	"strings"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// Kind is the kind of an event: its member "event".
type Kind string

// The kinds of event.
const (
	AgentLost      Kind = "agent_lost"       // an agent was given up: event.StatusChange
	AgentAway      Kind = "agent_away"       // an agent stays away: event.StatusChange, with away_for
	AgentBack      Kind = "agent_back"       // a lost agent is back: event.StatusChange
	AgentFlapping  Kind = "agent_flapping"   // event.AgentFlapping
	FleetOutage    Kind = "fleet_outage"     // event.FleetOutage
	FleetRecovered Kind = "fleet_recovered"  // event.FleetOutage
	NodeCondition  Kind = "node_condition"   // event.NodeCondition
	SilenceChange  Kind = "silence"          // Silence
	NodeLost       Kind = "node_lost"        // event.NodeLoss
	NodeBack       Kind = "node_back"        // event.NodeLoss
	Duplicated     Kind = "agent_duplicated" // event.AgentDuplicated
)

// Silence is a silence that was added, ended or is over, or a weekly one that begins or
// pauses.
type Silence struct {
	ID        string      `json:"silence"`
	State     event.State `json:"state"`  // event.ConditionBegan while it holds alerts back
	Change    string      `json:"change"` // what happened to it
	Selects   string      `json:"selects"`
	Times     string      `json:"times"`
	Comment   string      `json:"comment,omitempty"`
	By        string      `json:"by,omitempty"`       // who added it
	EndedBy   string      `json:"ended_by,omitempty"` // who ended it
	Peer      string      `json:"peer,omitempty"`     // the address of who did what happened
	Timestamp int64       `json:"timestamp"`          // Unix time, seconds
}

// MaxSize is the length in bytes that no event exceeds. analysisd reads up to 64 KiB.
const MaxSize = 32 << 10

// The locations of events. analysisd attributes an event to the agent that is named in
// its location, and rules match the rest of it.
const (
	// NodeLocation is that of an event about no single agent.
	NodeLocation = "pulse"
	// AgentLocationEnd ends that of an event about an agent. remoted puts "ADDRESS->"
	// before the location that an agent names itself, so no agent's own event has it.
	AgentLocationEnd = "-pulse->pulse"
)

// FormatStatusChange returns the event of a loss, an absence or a return.
func FormatStatusChange(kind Kind, node string, c event.StatusChange) string {
	if kind != AgentBack && c.Host == "" {
		c.Host = event.HostUnknown // for rules, which cannot match what is absent
	}
	body := struct {
		Event Kind   `json:"event"`
		Node  string `json:"manager_node"`
		event.StatusChange
	}{kind, node, c}
	return formatEvent(agentLocation(c.AgentID, c.AgentName, c.IPAddress), &body)
}

// FormatFlapping returns the event of an agent whose status changes too often.
func FormatFlapping(node string, f event.AgentFlapping) string {
	body := struct {
		Event Kind   `json:"event"`
		Node  string `json:"manager_node"`
		event.AgentFlapping
	}{AgentFlapping, node, f}
	return formatEvent(agentLocation(f.AgentID, f.AgentName, f.IPAddress), &body)
}

// FormatOutage returns the event of the beginning or the end of an outage.
func FormatOutage(kind Kind, o event.FleetOutage) string {
	body := struct {
		Event Kind `json:"event"`
		event.FleetOutage
	}{kind, o}
	return formatEvent(NodeLocation, &body)
}

// FormatCondition returns the event of a node's condition that began or ended.
func FormatCondition(c event.NodeCondition) string {
	body := struct {
		Event Kind `json:"event"`
		event.NodeCondition
	}{NodeCondition, c}
	return formatEvent(NodeLocation, &body)
}

// FormatNodeLoss returns the event of a node of the cluster that is lost, or back.
func FormatNodeLoss(kind Kind, n event.NodeLoss) string {
	body := struct {
		Event Kind   `json:"event"`
		Maker string `json:"manager_node"`
		event.NodeLoss
	}{kind, n.AnnouncedBy, n}
	return formatEvent(NodeLocation, &body)
}

// FormatDuplicated returns the event of an agent whose key two machines have.
func FormatDuplicated(node string, d event.AgentDuplicated) string {
	addr := ""
	if len(d.Machines) > 0 {
		addr = d.Machines[0].IPAddress
	}
	body := struct {
		Event Kind   `json:"event"`
		Node  string `json:"manager_node"`
		event.AgentDuplicated
	}{Duplicated, node, d}
	return formatEvent(agentLocation(d.AgentID, d.AgentName, addr), &body)
}

// FormatSilence returns the event of a change of a silence.
func FormatSilence(node string, s Silence) string {
	body := struct {
		Event Kind   `json:"event"`
		Node  string `json:"manager_node"`
		Silence
	}{SilenceChange, node, s}
	return formatEvent(NodeLocation, &body)
}

// formatEvent returns the datagram of an event. The body is a pointer to a struct.
func formatEvent(location string, body any) string {
	limitTexts(body)
	text, err := json.Marshal(map[string]any{"pulse": body})
	if err != nil {
		panic("wazuhevent: no JSON: " + err.Error()) // plain structs of text and numbers
	}
	return wazuhsock.FormatEvent(location, string(text))
}

// agentLocation returns the location of an agent's event, as remoted writes that of
// what an agent sends, with another end. analysisd takes the agent's ID, name and
// address from it.
func agentLocation(id, name, addr string) string {
	return "[" + id + "] (" + keepRunes(name, isNameRune) + ") " + keepAddress(addr) + AgentLocationEnd
}

// isNameRune reports whether Wazuh lets an agent's name have the character.
func isNameRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.", r)
}

// keepRunes returns a text with an underscore for each character that is not allowed.
func keepRunes(text string, isAllowed func(rune) bool) string {
	if len(text) > maxText {
		text = text[:maxText]
	}
	text = strings.Map(func(r rune) rune {
		if isAllowed(r) {
			return r
		}
		return '_'
	}, text)
	if text == "" {
		return "_"
	}
	return text
}

// keepAddress returns an address or network, or "any" for everything else.
func keepAddress(addr string) string {
	if addr == "" || len(addr) > 64 || strings.ContainsFunc(addr, func(r rune) bool { return !strings.ContainsRune("0123456789abcdefABCDEF.:/", r) }) {
		return "any"
	}
	return addr
}
