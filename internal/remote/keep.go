package remote

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
)

// run keeps a session until ctx ends, which ends it too.
func (r *Remote) run(ctx context.Context) {
	for ctx.Err() == nil {
		s, err := r.dial(ctx)
		if err != nil {
			r.failed(ctx, err, false)
		} else {
			r.connected()
			r.serve(ctx, s)
			r.failed(ctx, s.reason, s.worked)
		}
		pause(ctx, r.cfg.ReconnectDelay)
	}
}

// dialer ends a connection, even a half-made one, when ctx ends.
type dialer struct{ ctx context.Context }

func (d dialer) Dial(network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(d.ctx, network, addr)
	if err == nil {
		context.AfterFunc(d.ctx, func() { conn.Close() })
	}
	return conn, err
}

func (r *Remote) dial(ctx context.Context) (*Session, error) {
	dialing, giveUp := context.WithCancel(ctx)
	s := &Session{remote: r, ended: make(chan struct{})}
	opts := append(r.opts[:len(r.opts):len(r.opts)],
		nats.SetCustomDialer(dialer{dialing}),
		nats.ClosedHandler(func(nc *nats.Conn) {
			giveUp()
			s.End(fmt.Errorf("connection lost: %w", nc.LastError()))
		}))
	var err error
	if s.Conn, err = nats.Connect(r.cfg.URL, opts...); err != nil {
		giveUp()
		return nil, fmt.Errorf("connect: %w", err)
	}
	return s, nil
}

// serve offers s to its users until it has ended.
func (r *Remote) serve(ctx context.Context, s *Session) {
	r.offer(s)
	defer r.offer(nil)
	select {
	case <-s.ended:
	case <-ctx.Done():
		s.End(ctx.Err())
	}
}

func (r *Remote) offer(s *Session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.note(r.state())
	r.current = s
	close(r.changed)
	r.changed = make(chan struct{})
}

// failed counts, and says so when it is the first in a row or the last before
// the remote is called unavailable.
func (r *Remote) failed(ctx context.Context, err error, doubted bool) {
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	before := r.state()
	r.failures++
	r.errors++
	r.doubted = doubted
	n := r.failures
	r.note(before)
	r.mu.Unlock()
	if n == 1 {
		r.log.Warn("cannot reach the NATS server: keeping messages and trying on", "every", r.cfg.ReconnectDelay, "err", err)
	}
	if n == max(r.cfg.MaxReconnects, 1) {
		r.log.Error("the NATS server is unavailable: still keeping messages and trying on", "failures", n, "err", err)
	}
}

// connected takes the remote for healthy again, unless it was there all the
// time and did not do what it should: then only doing it can tell.
func (r *Remote) connected() {
	r.mu.Lock()
	before, doubted, n := r.state(), r.doubted, r.failures
	if !doubted {
		r.failures = 0
	}
	r.note(before)
	r.mu.Unlock()
	if !doubted {
		r.log.Info("connected to the NATS server", "failures", n)
	}
}

func (r *Remote) recovered() {
	r.mu.Lock()
	before, n := r.state(), r.failures
	r.failures, r.doubted = 0, false
	r.note(before)
	r.mu.Unlock()
	if n > 0 {
		r.log.Info("the NATS server takes messages again", "failures", n)
	}
}

// State is how the remote is doing.
type State struct {
	Connected   bool      `json:"connected"`   // it is there and does what it should
	Unavailable bool      `json:"unavailable"` // it failed Config.MaxReconnects times in a row
	Since       time.Time `json:"since"`       // when one of these two changed last
	Errors      uint64    `json:"errors"`      // failures since the start
}

// State returns how the remote is doing now.
func (r *Remote) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state()
}

func (r *Remote) state() State {
	return State{Connected: r.current != nil && r.failures == 0,
		Unavailable: r.failures >= max(r.cfg.MaxReconnects, 1), Since: r.since, Errors: r.errors}
}

// note keeps the time if the state is not what it was before.
func (r *Remote) note(before State) {
	if now := r.state(); now.Connected != before.Connected || now.Unavailable != before.Unavailable {
		r.since = time.Now()
	}
}

// pause waits for d, or less when ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
