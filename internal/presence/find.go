package presence

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

// findTime is how long [Find] waits for statements.
const findTime = time.Second

// Find asks which nodes of a name are there now, as one that is none itself, so that
// none of them waits for it. Nothing of an answer but its form is checked.
func Find(ctx context.Context, s *remote.Session, node string) (found []Statement, err error) {
	ctx, cancel := context.WithTimeout(ctx, defaultTiming.answer)
	defer cancel()
	subject := Subject(node)
	received := make(chan *nats.Msg, receivedMax)
	sub, err := s.Conn.ChanSubscribe(subject, received)
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := s.Conn.Publish(subject, []byte(question)); err != nil {
		return nil, err
	}
	if err := s.RoundTrip(ctx); err != nil {
		return nil, err
	}
	if err := errors.Join(s.TakeSubscribeRefusal(subject), s.TakeRefusal(subject)); err != nil {
		return nil, err
	}
	var here others
	for enough := time.After(findTime); ; {
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
