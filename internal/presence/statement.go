package presence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/remote"
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

// othersMax is how many other nodes of one name are distinguished. More are not counted.
const othersMax = 16

// other is another node of the name.
type other struct {
	Statement
	since         time.Time // of its first statement
	lastStatement time.Time // of its last
}

// others are the other nodes of the name that are running now.
type others []other

// recordStatement records a statement, and reports whether its node is new.
func (o *others) recordStatement(s Statement, now time.Time) (isNew bool) {
	i := slices.IndexFunc(*o, func(x other) bool { return x.Instance == s.Instance })
	switch {
	case s.Leaving && i >= 0:
		*o = slices.Delete(*o, i, i+1)
	case s.Leaving:
	case i >= 0:
		(*o)[i].Statement, (*o)[i].lastStatement = s, now
	case len(*o) < othersMax:
		*o = append(*o, other{s, now, now})
		return true
	}
	return false
}

// removeExpired removes the nodes without a statement for a time.
func (o *others) removeExpired(now time.Time, after time.Duration) {
	*o = slices.DeleteFunc(*o, func(x other) bool { return now.Sub(x.lastStatement) >= after })
}

// renewDeadlines restarts the time of every node: no statement could be received before now.
func (o others) renewDeadlines(now time.Time) {
	for i := range o {
		o[i].lastStatement = now
	}
}

// findFirst returns the node that precedes all others; nil if there is none.
func (o others) findFirst() *other {
	if len(o) == 0 {
		return nil
	}
	first := &o[0]
	for i := range o[1:] {
		if o[i+1].precedes(&first.Statement) {
			first = &o[i+1]
		}
	}
	return first
}

// findDuration is how long [FindNodes] waits for statements.
const findDuration = time.Second

// FindNodes returns the nodes of a name that are running now. The caller is not a node
// itself, so that none of them waits for it. Only the form of an answer is checked.
func FindNodes(ctx context.Context, s *remote.Session, node string) (found []Statement, err error) {
	ctx, cancel := context.WithTimeout(ctx, defaultTiming.answer)
	defer cancel()
	subject := Subject(node)
	received := make(chan *nats.Msg, receivedMax)
	sub, err := s.Conn.ChanSubscribe(subject, received)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.Conn.Publish(subject, []byte(requestText)); err != nil {
		return nil, err
	}
	if err := s.RoundTrip(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(s.TakeSubscribeRefusal(subject), s.TakeRefusal(subject)); err != nil {
		return nil, err
	}
	var here others
	for enough := time.After(findDuration); ; {
		select {
		case m := <-received:
			if statement, err := parseStatement(m.Data, node); err == nil {
				here.recordStatement(statement, time.Now())
			}
		case <-enough:
			for i := range here {
				found = append(found, here[i].Statement)
			}
			return found, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
