package event

import "time"

// AgentInfo is what is known of an agent besides its address. A field is absent while
// it is unknown.
type AgentInfo struct {
	WazuhGroups  []string `json:"wazuh_groups,omitempty"`  // in the manager's order
	OSName       string   `json:"os_name,omitempty"`       // "Ubuntu"
	OSVersion    string   `json:"os_version,omitempty"`    // "22.04"
	AgentVersion string   `json:"agent_version,omitempty"` // "v4.9.2"
}

// Host is whether an agent's host still answers after the agent is lost.
type Host string

// The answers of a host. Absent: nobody asked, as of an agent that is not lost.
const (
	HostAnswers Host = "answers" // the host is alive: it is the agent that is gone
	HostSilent  Host = "silent"  // it does not answer: gone, cut off, or behind a firewall that drops
	HostUnknown Host = "unknown" // it could not be asked, or the answer proves nothing
)

// Evidence is what was seen of a loss. A field is absent where it does not apply.
type Evidence struct {
	Host         Host     `json:"host,omitempty"`
	HostProbe    string   `json:"host_probe,omitempty"`     // how the host was asked: "icmp", "tcp:22 open", "tcp:22 refused"; absent if it was not
	HostProbedAt int64    `json:"host_probed_at,omitempty"` // Unix time of that, seconds
	Confidence   []string `json:"confidence,omitempty"`     // what was seen: ConnectionClosed, HostAnswered, "unanswered:3", "silent_for:41" and others
	Technique    string   `json:"technique,omitempty"`      // of MITRE ATT&CK, where the loss looks like one: ImpairDefenses
}

// What Confidence contains. After a colon comes a number.
const (
	SawConnectionClosed = "connection_closed" // its connection ended without a goodbye
	SawUnanswered       = "unanswered"        // so many keep-alives in a row were not answered
	SawSilence          = "silent_for"        // seconds since the last sign of life
	SawHostAnswer       = "host_answers"      // Host is HostAnswers
	SawHostSilent       = "host_silent"       // Host is HostSilent
)

// ImpairDefenses is the technique of a loss after which the agent's host is alive:
// "Impair Defenses: Disable or Modify Tools".
const ImpairDefenses = "T1562.001"

// HostProbeTime returns when the host was asked; the zero time if it was not.
func (e *Evidence) HostProbeTime() time.Time { return unixTime(e.HostProbedAt) }

// AwayDuration returns how long the agent had been away when this alert was repeated;
// 0 if this is no repetition.
func (c *StatusChange) AwayDuration() time.Duration { return time.Duration(c.AwayFor) * time.Second }
