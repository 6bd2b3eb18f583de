package seal

import (
	"encoding/json"
	"fmt"

	"github.com/wazuh-pulse/pulse/event"
)

// kinds are the bodies of messages, and what reads a message with one.
var kinds = map[string]func() any{
	"event":           func() any { return new(event.KeepAliveMessage) },
	"status_change":   func() any { return new(event.StatusChangeMessage) },
	"manager_status":  func() any { return new(event.ManagerStatusMessage) },
	"fleet_outage":    func() any { return new(event.FleetOutageMessage) },
	"fleet_recovered": func() any { return new(event.FleetOutageMessage) },
	"agent_flapping":  func() any { return new(event.AgentFlappingMessage) },
	"node_condition":  func() any { return new(event.NodeConditionMessage) },
}

// parse reads the payload. Names that it does not know are no error: there may be
// more of them one day.
func (o *Opened) parse() error {
	var parts map[string]json.RawMessage
	if err := parseInto(o.Payload, &parts); err != nil {
		return err
	}
	for name := range parts {
		kind := kinds[name]
		if kind == nil {
			continue
		}
		if o.Message != nil {
			return fmt.Errorf("%w: two messages in one", ErrMalformed)
		}
		o.Message = kind()
		if err := json.Unmarshal(o.Payload, o.Message); err != nil {
			return fmt.Errorf("%w: %w", ErrMalformed, err)
		}
	}
	s := &o.Security
	if parts["security"] == nil {
		return fmt.Errorf("%w: no security", ErrMalformed)
	}
	if err := json.Unmarshal(parts["security"], s); err != nil {
		return fmt.Errorf("%w: security: %w", ErrMalformed, err)
	}
	switch {
	case s.Source != event.Origin:
		return fmt.Errorf("%w: source %.40q", ErrMalformed, s.Source)
	case s.Sequence == 0 || s.Epoch == 0:
		return fmt.Errorf("%w: sequence %d of epoch %d", ErrMalformed, s.Sequence, s.Epoch)
	case s.IssuedAt <= 0: // of what has no time, a guard without a bound would not ask for it
		return fmt.Errorf("%w: issued at %d", ErrMalformed, s.IssuedAt)
	case len(s.Node) > nodeMax:
		return fmt.Errorf("%w: a node name of %d bytes", ErrMalformed, len(s.Node))
	}
	if err := event.ValidNode(s.Node); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// nodeMax is the longest name of a node.
const nodeMax = 128

func parseInto(data []byte, into any) error {
	if err := checkJSON(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}
