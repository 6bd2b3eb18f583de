package message

import (
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// CloudEventType is what the types of the CloudEvents begin with.
const CloudEventType = "com.github.wazuh-pulse."

// newCloudEvent returns the attributes of a message as a CloudEvent. kind is the name of the
// message's body, and subject is what it is about, within the source.
func newCloudEvent(kind, subject string, s *event.Security) *outbox.CloudEvent {
	return &outbox.CloudEvent{
		ID:      encodeHeaderValue(s.ID()),
		Source:  "/pulse/" + url.PathEscape(s.Node),
		Type:    CloudEventType + kind,
		Subject: encodeHeaderValue(subject),
		Time:    time.UnixMilli(s.IssuedAt).UTC().Format("2006-01-02T15:04:05.000Z07:00"),
	}
}

// cloudEventOf returns the kind of a message and what it is about. Telemetry is not
// marked as CloudEvents: it is most of all messages, and has no room for it.
func cloudEventOf(m event.Message) (kind, subject string) {
	switch m := m.(type) {
	case *event.StatusChangeMessage:
		return "status_change", m.StatusChange.AgentID
	case *event.FleetOutageMessage:
		if m.Outage != nil {
			return "fleet_outage", m.Outage.ManagerNode
		}
		return "fleet_recovered", m.Recovered.ManagerNode
	case *event.AgentFlappingMessage:
		return "agent_flapping", m.Flapping.AgentID
	case *event.NodeConditionMessage:
		return "node_condition", m.Condition.ManagerNode
	case *event.NodeLostMessage:
		if m.Lost != nil {
			return "node_lost", m.Lost.Node
		}
		return "node_back", m.Back.Node
	case *event.AgentDuplicatedMessage:
		return "agent_duplicated", m.Duplicated.AgentID
	}
	return "", ""
}

// encodeHeaderValue encodes a value as the binding demands: what is no printable ASCII,
// and space, double quote and percent, as %XY for each byte of its UTF-8.
func encodeHeaderValue(value string) string {
	if !strings.ContainsFunc(value, isEncoded) {
		return value
	}
	var b strings.Builder
	for _, c := range []byte(value) {
		if isEncoded(rune(c)) {
			fmt.Fprintf(&b, "%%%02X", c)
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}

func isEncoded(c rune) bool { return c <= ' ' || c >= 0x7f || c == '"' || c == '%' }
