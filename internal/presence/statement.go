package presence

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Statement is what a node publishes about itself for others of its name.
type Statement struct {
	Node       string `json:"node"`
	Instance   string `json:"instance"`   // random, of one process
	Epoch      uint64 `json:"epoch"`      // which life of the node
	StartedAt  int64  `json:"started_at"` // Unix time, seconds
	Host       string `json:"host"`       // its host's name
	Publishing bool   `json:"publishing"` // its messages go out; else they wait
	Leaving    bool   `json:"leaving,omitempty"`
	Question   bool   `json:"question,omitempty"` // a node that receives it answers with a statement
}

// Subject is where nodes of a name publish their statements.
func Subject(node string) string { return "pulse." + node + ".presence" }

// requestText is the body of a request for statements by a client that is no node.
const requestText = "?"

const (
	statementMax = 2 << 10 // bytes of a statement
	instanceMax  = 64
	hostMax      = 255
)

func parseStatement(data []byte, node string) (s Statement, err error) {
	if len(data) > statementMax {
		return s, fmt.Errorf("statement of %d bytes: want at most %d", len(data), statementMax)
	}
	if err := json.Unmarshal(data, &s); err != nil {
		return s, err
	}
	switch {
	case s.Node != node:
		return s, fmt.Errorf("statement of node %.40q", s.Node)
	case s.Instance == "" || len(s.Instance) > instanceMax:
		return s, errors.New("statement without an instance of 1 to 64 bytes")
	case s.Epoch == 0:
		return s, errors.New("statement of epoch 0")
	case len(s.Host) > hostMax:
		return s, errors.New("statement with a host's name of more than 255 bytes")
	}
	s.Host = printableHost(s.Host)
	return s, nil
}

// printableHost replaces characters that no host's name has: it is logged, and shown.
func printableHost(name string) string {
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r >= 0x7f {
			return '?'
		}
		return r
	}, name)
}

// precedes reports whether s publishes and o waits, where only one may publish. Of two
// that publish, each took the other for gone: consumers accept the higher epoch only.
func (s *Statement) precedes(o *Statement) bool {
	switch {
	case s.Publishing != o.Publishing:
		return s.Publishing
	case s.Epoch != o.Epoch:
		return (s.Epoch > o.Epoch) == s.Publishing
	}
	return s.Instance < o.Instance
}
