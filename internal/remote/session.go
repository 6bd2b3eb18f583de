package remote

import (
	"context"
	"sync"

	"github.com/nats-io/nats.go"
)

// Session is one connection to the remote, from its dial to its first failure.
type Session struct {
	Conn *nats.Conn

	remote *Remote
	ended  chan struct{} // closed at the first failure
	once   sync.Once
	reason error // why it ended; read only after ended is closed
	worked bool  // the connection itself still worked; as reason
}

// End closes the connection, and another session follows; only the first reason counts.
func (s *Session) End(reason error) {
	s.once.Do(func() {
		s.reason, s.worked = reason, s.Conn.IsConnected()
		close(s.ended)
		s.Conn.Close()
	})
}

// Ended is closed when the session has ended.
func (s *Session) Ended() <-chan struct{} { return s.ended }

// Reason is why the session ended; nil while it has not.
func (s *Session) Reason() error {
	select {
	case <-s.ended:
		return s.reason
	default:
		return nil
	}
}

// Good notes that the server did what it was asked for. After a session that
// its user ended, only this, and not a mere connection, shows that all is well.
func (s *Session) Good() { s.remote.recovered() }

// Session waits for one that has not ended. The error is ctx's.
func (r *Remote) Session(ctx context.Context) (*Session, error) {
	for {
		r.mu.Lock()
		s, changed := r.current, r.changed
		r.mu.Unlock()
		if s != nil && s.Reason() == nil {
			return s, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
