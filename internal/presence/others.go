package presence

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

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
