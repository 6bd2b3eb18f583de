package outbox

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// learnInterval is how often the remote's streams are looked up anew: one made
// meanwhile stores our messages, but is not yet asked to acknowledge them.
const learnInterval = time.Minute

// run keeps a session until ctx ends, which ends it too.
func (r *remote) run(ctx context.Context, backlog func(context.Context) uint64) {
	for ctx.Err() == nil {
		s, err := r.dial(ctx)
		if err != nil {
			r.failed(ctx, err, false)
		} else {
			r.connected(backlog(ctx))
			r.serve(ctx, s)
			r.failed(ctx, s.reason, s.refused)
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

func (r *remote) dial(ctx context.Context) (*session, error) {
	dialing, giveUp := context.WithCancel(ctx)
	s := &session{wait: r.timing.sent, ended: make(chan struct{})}
	opts := append(r.opts[:len(r.opts):len(r.opts)],
		nats.SetCustomDialer(dialer{dialing}),
		nats.ClosedHandler(func(nc *nats.Conn) {
			giveUp()
			s.end(fmt.Errorf("connection lost: %w", nc.LastError()))
		}))
	var err error
	if s.nc, err = nats.Connect(r.cfg.URL, opts...); err != nil {
		giveUp()
		return nil, fmt.Errorf("connect: %w", err)
	}
	if s.js, err = jetstream.New(s.nc, jetstream.WithPublishAsyncTimeout(s.wait)); err != nil {
		s.nc.Close()
		return nil, err
	}
	s.learn(ctx, r.prefix)
	return s, nil
}

// serve offers s to the forwarders until it has ended.
func (r *remote) serve(ctx context.Context, s *session) {
	r.offer(s)
	defer r.offer(nil)
	again := time.NewTicker(learnInterval)
	defer again.Stop()
	for {
		select {
		case <-s.ended:
			return
		case <-ctx.Done():
			s.end(ctx.Err())
		case <-again.C:
			s.learn(ctx, r.prefix)
		}
	}
}

func (r *remote) offer(s *session) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.current = s
	close(r.changed)
	r.changed = make(chan struct{})
}

// session waits for one that has not ended. The error is ctx's.
func (r *remote) session(ctx context.Context) (*session, error) {
	for {
		r.mu.Lock()
		s, changed := r.current, r.changed
		r.mu.Unlock()
		if s != nil {
			select {
			case <-s.ended: // and about to be replaced
			default:
				return s, nil
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// failed counts, and says so when it is the first in a row or the last before
// the remote is called unavailable.
func (r *remote) failed(ctx context.Context, err error, refused bool) {
	if ctx.Err() != nil {
		return
	}
	r.mu.Lock()
	r.failures++
	r.errors++
	r.refused = refused
	n := r.failures
	r.mu.Unlock()
	if n == 1 {
		r.log.Warn("cannot forward to the NATS server: keeping messages and trying on", "every", r.cfg.ReconnectDelay, "err", err)
	}
	if n == max(r.cfg.MaxReconnects, 1) {
		r.log.Error("the NATS server is unavailable: still keeping messages and trying on", "failures", n, "err", err)
	}
}

// connected takes the remote for healthy again, unless it was there all the
// time and did not confirm: then only a confirmation can tell.
func (r *remote) connected(waiting uint64) {
	r.mu.Lock()
	refused, n := r.refused, r.failures
	if !refused {
		r.failures = 0
	}
	r.mu.Unlock()
	if !refused {
		r.log.Info("connected to the NATS server", "waiting", waiting, "failures", n)
	}
}

// recovered notes that the remote has confirmed a batch.
func (r *remote) recovered() {
	r.mu.Lock()
	n := r.failures
	r.failures, r.refused = 0, false
	r.mu.Unlock()
	if n > 0 {
		r.log.Info("the NATS server takes messages again", "failures", n)
	}
}

func (r *remote) stats() (errors uint64, connected bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.errors, r.current != nil && r.failures == 0
}
