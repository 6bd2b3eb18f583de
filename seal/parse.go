package seal

import (
	"encoding/json"
	"fmt"

	"github.com/wazuh-pulse/pulse/event"
)

// parse reads the payload. Members that it does not know are no error: later versions
// may have more.
func (o *Opened) parse() error {
	if err := checkJSON(o.Payload); err != nil {
		return err
	}
	m, err := event.Parse(o.Payload)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	o.Security = *m.Identity()
	if _, unknown := m.(*event.UnknownMessage); !unknown {
		o.Message = m
	}
	s := &o.Security
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
