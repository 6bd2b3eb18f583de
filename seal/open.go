package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

// Message is a message as it was received: the subject, header and data of a NATS message.
type Message struct {
	Subject string
	Header  map[string][]string
	Data    []byte
}

// Opener verifies, decrypts and parses messages. Its fields must not be changed once it is used.
type Opener struct {
	// Verifier has the nodes' keys. Without one, every key is unknown.
	Verifier *Verifier
	// Decrypter, if there is one, decrypts messages, and those in the clear are refused
	// unless AllowPlain is set: else encryption could be left out unnoticed.
	Decrypter *Decrypter
	// AllowPlain accepts messages in the clear, too: while some nodes encrypt and others
	// do not yet.
	AllowPlain bool
	// Guard, if there is one, refuses replayed messages.
	Guard *Guard
	// Now is the present time; nil for [time.Now].
	Now func() time.Time
}

// Opened is a message that was accepted.
type Opened struct {
	// Message is a *event.StatusChangeMessage, *event.KeepAliveMessage,
	// *event.ManagerStatusMessage, *event.FleetOutageMessage,
	// *event.AgentFlappingMessage, *event.NodeConditionMessage, *event.NodeLostMessage or
	// *event.AgentDuplicatedMessage; nil for a kind that this version does not know.
	Message   event.Message
	Security  event.Security // its node, epoch and sequence
	Key       *Key           // that signed it
	Encrypted bool
	Payload   []byte      // the JSON, in the clear
	Guard     GuardResult // zero without a guard
}

// Open verifies, decrypts and parses a message, and checks it with the guard, which
// remembers it. An error wraps one of this package's, such as [ErrReplayed].
func (o *Opener) Open(m Message) (*Opened, error) {
	opened, err := o.openPayload(m)
	if err != nil {
		return nil, err
	}
	if err := opened.parsePayload(); err != nil {
		return nil, err
	}
	s := &opened.Security
	if !opened.Key.MaySignFor(s.Node) {
		return nil, fmt.Errorf("%w: %.60q names %.60q", ErrWrongNode, opened.Key.Node, s.Node)
	}
	if s.Subject != m.Subject {
		return nil, fmt.Errorf("%w: %.120q", ErrWrongSubject, s.Subject)
	}
	if o.Guard != nil {
		now := time.Now
		if o.Now != nil {
			now = o.Now
		}
		opened.Guard, err = o.Guard.Check(s, now())
	}
	if err != nil {
		return nil, err
	}
	return opened, nil
}

// OpenState reads an agent's value in the key-value bucket [event.AgentsBucket].
// An old value that somebody put back is accepted: compare states by their epoch and
// sequence (see [event.AgentState.Supersedes]).
func (o *Opener) OpenState(agentID string, header map[string][]string, value []byte) (*event.AgentState, error) {
	opened, err := o.openPayload(Message{Header: header, Data: value})
	if err != nil {
		return nil, err
	}
	state := new(event.AgentState)
	if err := parseInto(opened.Payload, state); err != nil {
		return nil, err
	}
	switch key := opened.Key; {
	case state.AgentID != agentID:
		return nil, fmt.Errorf("%w: that of agent %.20q", ErrWrongSubject, state.AgentID)
	case !key.MaySignFor(state.Node):
		return nil, fmt.Errorf("%w: %.60q names %.60q", ErrWrongNode, key.Node, state.Node)
	}
	return state, nil
}

// openPayload verifies and decrypts a message, whatever its payload is.
func (o *Opener) openPayload(m Message) (opened *Opened, err error) {
	signature, err := singleHeader(m.Header, SignatureHeader)
	switch {
	case err != nil:
		return nil, err
	case signature == "":
		return nil, ErrUnsigned
	case o.Verifier == nil:
		return nil, ErrUnknownKey
	}
	opened = new(Opened)
	if opened.Key, err = o.Verifier.Verify(signature, m.Data); err != nil {
		return nil, err
	}
	opened.Payload, opened.Encrypted, err = o.decryptPayload(m)
	return opened, err
}

// decryptPayload decides by the data, not by an unsigned header: no JSON text of a message
// is an envelope, and no envelope is a message.
func (o *Opener) decryptPayload(m Message) (payload []byte, encrypted bool, err error) {
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

// singleHeader returns the value of a header that may be there once; "" if it is not.
func singleHeader(header map[string][]string, name string) (string, error) {
	switch values := header[name]; len(values) {
	case 0:
		return "", nil
	case 1:
		return values[0], nil
	}
	return "", fmt.Errorf("%w: several headers %s", ErrMalformed, name)
}

// NonceHeader is the header of a question that makes it different from all others.
const NonceHeader = "Pulse-Nonce"

// Question is a question over NATS, as it is sent.
type Question struct {
	Subject string
	Nonce   string // the value of its NonceHeader
	Data    []byte
}

// NewQuestion returns a question that nobody has asked before.
func NewQuestion(subject string, data []byte) *Question {
	return &Question{subject, rand.Text(), data}
}

// Header is the header that the question is to be sent with.
func (q *Question) Header() map[string][]string {
	return map[string][]string{NonceHeader: {q.Nonce}}
}

// Digest returns what the signed answer has in its member "answers": the SHA-256, in
// base64url, of the lines "pulse question 1", subject and nonce, and the data behind them.
func (q *Question) Digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "pulse question 1\n%s\n%s\n", q.Subject, q.Nonce)
	h.Write(q.Data)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// askedNode returns the one node that is asked; "" for all.
func (q *Question) askedNode() string {
	token := strings.Split(q.Subject, ".")
	if len(token) < 3 || token[0] != "pulse" || token[1] == "agents" && token[2] != "status" && len(token) == 3 {
		return ""
	}
	return token[1]
}

// OpenAnswer reads the answer to a question over NATS: signed by a key that is known,
// decrypted, and made for this question. The question has to have a nonce, which only
// one question ever had: else an older answer would do.
func (o *Opener) OpenAnswer(q *Question, header map[string][]string, data []byte) ([]byte, error) {
	if q.Nonce == "" {
		return nil, fmt.Errorf("%w: the question has no nonce", ErrMalformed)
	}
	opened, err := o.openPayload(Message{Header: header, Data: data})
	if err != nil {
		return nil, err
	}
	var a struct {
		Answers string `json:"answers"`
		Node    string `json:"node"`
	}
	if err := parseInto(opened.Payload, &a); err != nil {
		return nil, err
	}
	switch key, asked := opened.Key, q.askedNode(); {
	case a.Answers != q.Digest():
		return nil, ErrWrongAnswer
	case !key.MaySignFor(a.Node):
		return nil, fmt.Errorf("%w: %.60q names %.60q", ErrWrongNode, key.Node, a.Node)
	case asked != "" && asked != a.Node:
		return nil, fmt.Errorf("%w: %.60q answers for %.60q", ErrWrongNode, a.Node, asked)
	}
	return opened.Payload, nil
}
