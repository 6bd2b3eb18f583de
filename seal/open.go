package seal

import (
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// Message is what came: of a NATS message, its subject, header and data.
type Message struct {
	Subject string
	Header  map[string][]string
	Data    []byte
}

// Opener reads messages. Its fields are set before it is used, and not changed then.
type Opener struct {
	// Verifier knows the nodes' keys. Without one, no key is known.
	Verifier *Verifier
	// Decrypter, if there is one, reads encrypted messages, and one in the clear is
	// refused, unless AllowPlain: else who cannot encrypt could just not do so.
	Decrypter *Decrypter
	// AllowPlain lets messages in the clear through, too: while some nodes encrypt
	// and others do not yet.
	AllowPlain bool
	// Guard, if there is one, refuses what was said before.
	Guard *Guard
	// Now is the present time; nil for [time.Now].
	Now func() time.Time
}

// Opened is a message that is good.
type Opened struct {
	// Message is a *event.StatusChangeMessage, *event.KeepAliveMessage,
	// *event.ManagerStatusMessage, *event.FleetOutageMessage,
	// *event.AgentFlappingMessage or *event.NodeConditionMessage; nil for a kind that this version does not know.
	Message   event.Message
	Security  event.Security // which message it is
	Key       *Key           // with which it was signed
	Encrypted bool
	Payload   []byte  // the JSON, in the clear
	Passage   Passage // what the guard says; zero without one
}

// Open verifies, decrypts and reads a message, and then asks the guard, which
// remembers it. An error wraps one of this package's, such as [ErrReplayed].
func (o *Opener) Open(m Message) (*Opened, error) {
	opened := new(Opened)
	var err error
	if opened.Key, err = o.verify(m); err != nil {
		return nil, err
	}
	if opened.Payload, opened.Encrypted, err = o.decrypt(m); err != nil {
		return nil, err
	}
	if err := opened.parse(); err != nil {
		return nil, err
	}
	s := &opened.Security
	if node := opened.Key.Node; node != "" && node != s.Node {
		return nil, fmt.Errorf("%w: %.60q says it is %.60q", ErrWrongNode, node, s.Node)
	}
	if s.Subject != m.Subject {
		return nil, fmt.Errorf("%w, but to %.120q", ErrWrongSubject, s.Subject)
	}
	if o.Guard != nil {
		now := time.Now
		if o.Now != nil {
			now = o.Now
		}
		opened.Passage, err = o.Guard.Pass(s, now())
	}
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// OpenState reads an agent's value in the key-value bucket [event.AgentsBucket].
// An old value that somebody put back is as good as it was: compare states by
// their epoch and sequence (see [event.AgentState.Supersedes]).
func (o *Opener) OpenState(agentID string, header map[string][]string, value []byte) (*event.AgentState, error) {
	m := Message{Header: header, Data: value}
	key, err := o.verify(m)
	if err != nil {
		return nil, err
	}
	payload, _, err := o.decrypt(m)
	if err != nil {
		return nil, err
	}
	state := new(event.AgentState)
	if err := parseInto(payload, state); err != nil {
		return nil, err
	}
	switch {
	case state.AgentID != agentID:
		return nil, fmt.Errorf("%w, but to that of agent %.20q", ErrWrongSubject, state.AgentID)
	case key.Node != "" && key.Node != state.Node:
		return nil, fmt.Errorf("%w: %.60q says it is %.60q", ErrWrongNode, key.Node, state.Node)
	}
	return state, nil
}

func (o *Opener) verify(m Message) (*Key, error) {
	signature, err := one(m.Header, SignatureHeader)
	switch {
	case err != nil:
		return nil, err
	case signature == "":
		return nil, ErrUnsigned
	case o.Verifier == nil:
		return nil, ErrUnknownKey
	}
	return o.Verifier.Verify(signature, m.Data)
}

// decrypt goes by what the data is, not by what an unsigned header calls it: no
// JSON text is an envelope, and no envelope is a message.
func (o *Opener) decrypt(m Message) (payload []byte, encrypted bool, err error) {
	switch encrypted := IsEncrypted(m.Data); {
	case !encrypted && o.Decrypter != nil && !o.AllowPlain:
		return nil, false, ErrNotEncrypted
	case !encrypted:
		return m.Data, false, nil
	case o.Decrypter == nil:
		return nil, true, ErrEncrypted
	}
	payload, err = o.Decrypter.Decrypt(m.Data)
	return payload, true, err
}

// one returns the value of a header that may be there once; "" if it is not.
func one(header map[string][]string, name string) (string, error) {
	switch values := header[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", fmt.Errorf("%w: several headers %s", ErrMalformed, name)
}
