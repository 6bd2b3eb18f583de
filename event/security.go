package event

import (
	"fmt"
	"time"
)

// Origin is the source of every message.
const Origin = "wazuh-manager"

// HeartbeatInterval is the time between two of a node's heartbeats.
const HeartbeatInterval = 10 * time.Second

// Security says which message this is. It is part of the body, so that a
// signature over the body binds it.
type Security struct {
	Source   string `json:"source"`    // always "wazuh-manager"
	Version  string `json:"version"`   // of the software that made the message
	Sequence uint64 `json:"sequence"`  // from 1, rising by one per message of a node and epoch
	Node     string `json:"node"`      // the manager's node name
	Epoch    uint64 `json:"epoch"`     // which life of the node: rises with every start
	IssuedAt int64  `json:"issued_at"` // Unix time at which the message was made, milliseconds
	Subject  string `json:"subject"`   // the NATS subject it was published to
}

// ID names the message among all of all nodes. The Nats-Msg-Id header, by which
// JetStream drops duplicates, is this, a hyphen, and a code that nobody can foresee.
func (s *Security) ID() string { return fmt.Sprintf("%s-%d-%d", s.Node, s.Epoch, s.Sequence) }

// Source numbers the messages of one life of a node. It is for one goroutine.
type Source struct {
	Node    string
	Version string
	Epoch   uint64

	last uint64
}

// Stamp returns the Security of the next message, to be published to subject.
// Every stamp has to be published: a gap would look like a lost message.
func (s *Source) Stamp(subject string, now time.Time) Security {
	s.last++
	return Security{Source: Origin, Version: s.Version, Sequence: s.last, Node: s.Node, Epoch: s.Epoch,
		IssuedAt: now.UnixMilli(), Subject: subject}
}

// Last returns the sequence of the last stamp; 0 before the first.
func (s *Source) Last() uint64 { return s.last }
