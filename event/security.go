package event

import "fmt"

// Origin is the source of every message.
const Origin = "wazuh-manager"

// Security identifies a message. It is part of the body, so that a signature over
// the body covers it.
type Security struct {
	Source   string `json:"source"`    // always "wazuh-manager"
	Version  string `json:"version"`   // of the software that made the message
	Sequence uint64 `json:"sequence"`  // from 1, rising by one per message of a node and epoch
	Node     string `json:"node"`      // the manager's node name
	Epoch    uint64 `json:"epoch"`     // identifies a run of the node: rises with every start
	IssuedAt int64  `json:"issued_at"` // Unix time at which the message was made, milliseconds
	Subject  string `json:"subject"`   // the NATS subject it was published to
}

// ID returns the message's identifier, unique among the messages of all nodes. The
// Nats-Msg-Id header, by which JetStream drops duplicates, is this, a hyphen, and a
// code that nobody can foresee.
func (s *Security) ID() string { return fmt.Sprintf("%s-%d-%d", s.Node, s.Epoch, s.Sequence) }
