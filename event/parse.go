package event

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Message is a message of one of the kinds: a *[KeepAliveMessage],
// *[StatusChangeMessage], *[ManagerStatusMessage], *[FleetOutageMessage],
// *[AgentFlappingMessage], *[NodeConditionMessage], *[NodeLostMessage],
// *[AgentDuplicatedMessage] or *[UnknownMessage].
type Message interface {
	// Identity returns the message's security part, which identifies it.
	Identity() *Security
}

func (m *KeepAliveMessage) Identity() *Security       { return &m.Security }
func (m *StatusChangeMessage) Identity() *Security    { return &m.Security }
func (m *ManagerStatusMessage) Identity() *Security   { return &m.Security }
func (m *FleetOutageMessage) Identity() *Security     { return &m.Security }
func (m *AgentFlappingMessage) Identity() *Security   { return &m.Security }
func (m *NodeConditionMessage) Identity() *Security   { return &m.Security }
func (m *NodeLostMessage) Identity() *Security        { return &m.Security }
func (m *AgentDuplicatedMessage) Identity() *Security { return &m.Security }
func (m *UnknownMessage) Identity() *Security         { return &m.Security }

// UnknownMessage is a message of a kind that this version of the package does not
// define. A reader ignores it.
type UnknownMessage struct {
	Security Security `json:"security"`
}

// kinds returns, for the name of a message's body, an empty message and where its
// body is decoded.
var kinds = map[string]func() (m Message, body any){
	"event":          func() (Message, any) { m := new(KeepAliveMessage); return m, &m.Event },
	"status_change":  func() (Message, any) { m := new(StatusChangeMessage); return m, &m.StatusChange },
	"manager_status": func() (Message, any) { m := new(ManagerStatusMessage); return m, &m.ManagerStatus },
	"fleet_outage": func() (Message, any) {
		m := &FleetOutageMessage{Outage: new(FleetOutage)}
		return m, m.Outage
	},
	"fleet_recovered": func() (Message, any) {
		m := &FleetOutageMessage{Recovered: new(FleetOutage)}
		return m, m.Recovered
	},
	"agent_flapping": func() (Message, any) { m := new(AgentFlappingMessage); return m, &m.Flapping },
	"node_condition": func() (Message, any) { m := new(NodeConditionMessage); return m, &m.Condition },
	"node_lost": func() (Message, any) {
		m := &NodeLostMessage{Lost: new(NodeLoss)}
		return m, m.Lost
	},
	"node_back": func() (Message, any) {
		m := &NodeLostMessage{Back: new(NodeLoss)}
		return m, m.Back
	},
	"agent_duplicated": func() (Message, any) { m := new(AgentDuplicatedMessage); return m, &m.Duplicated },
}

// Parse decodes the JSON of a message in the clear, of any kind. Members that it does
// not know are ignored. It does not verify who made the message: package seal does.
func Parse(data []byte) (Message, error) {
	var parts map[string]json.RawMessage
	if err := json.Unmarshal(data, &parts); err != nil {
		return nil, fmt.Errorf("parse message: %w", err)
	}
	var parsed Message
	for name, part := range parts {
		kind := kinds[name]
		if kind == nil {
			continue
		}
		if parsed != nil {
			return nil, errors.New("parse message: two messages in one")
		}
		var body any
		parsed, body = kind()
		if err := decodePart(name, part, body); err != nil {
			return nil, err
		}
	}
	if parsed == nil {
		parsed = new(UnknownMessage)
	}
	if err := decodePart("security", parts["security"], parsed.Identity()); err != nil {
		return nil, err
	}
	return parsed, nil
}

func decodePart(name string, part json.RawMessage, into any) error {
	if len(part) == 0 || part[0] != '{' {
		return fmt.Errorf("parse message: %s is no object", name)
	}
	if err := json.Unmarshal(part, into); err != nil {
		return fmt.Errorf("parse message: %s: %w", name, err)
	}
	return nil
}
