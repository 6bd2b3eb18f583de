package remote

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/nats-io/nats.go"
)

// Dial makes one session, to one of the servers. Its error is a [Failure] for
// each of them, or ctx's. The session ends with ctx.
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	servers, err := parseServers(&cfg)
	if err != nil {
		return nil, err
	}
	return dial(ctx, &cfg, servers, nil)
}

// dial tries the servers, beginning anywhere: many nodes shall not all be at the first.
func dial(ctx context.Context, cfg *Config, servers []endpoint, r *Remote) (*Session, error) {
	m, err := loadMaterial(cfg)
	if err != nil {
		return nil, err
	}
	defer m.forget()
	failures := make(unreached, len(servers))
	for _, i := range rand.Perm(len(servers)) {
		a := &attempt{cfg: cfg, endpoint: servers[i], material: m}
		s, err := a.connect(ctx, r)
		if err == nil {
			if r != nil {
				r.passedOver(failures, s)
			}
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failures[i] = a.diagnose(err)
	}
	if len(failures) == 1 {
		return nil, failures[0]
	}
	return nil, failures
}

// attempt is one dial of one server, and what it taught us.
type attempt struct {
	cfg *Config
	endpoint
	*material

	dialed     error // why there is no connection at all
	asked      bool  // the server asked for a certificate
	handshaken bool  // TLS is established, as far as we can tell
}

func (a *attempt) connect(ctx context.Context, r *Remote) (*Session, error) {
	dialing, giveUp := context.WithCancel(ctx)
	s := &Session{remote: r, dialed: a, ended: make(chan struct{}), refused: make(map[string]error), more: make(chan struct{})}
	opts := append(a.options(),
		nats.SetCustomDialer(&dialer{ctx: dialing, timeout: a.cfg.Timeout, failed: &a.dialed}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.heard(err) }),
		nats.ClosedHandler(func(nc *nats.Conn) {
			giveUp()
			s.lost(nc.LastError())
		}))
	var err error
	if s.Conn, err = nats.Connect(a.endpoint.String(), opts...); err != nil {
		giveUp()
		return nil, err
	}
	return s, nil
}

// options are those of every dial. TLS is ready even if we do not require it:
// a server may.
func (a *attempt) options() []nats.Option {
	opts := []nats.Option{
		nats.Name(a.cfg.Name), nats.NoReconnect(), nats.Timeout(a.cfg.Timeout), nats.SkipHostLookup(),
		nats.PingInterval(a.cfg.PingInterval), nats.MaxPingsOutstanding(2),
		func(o *nats.Options) error {
			o.Secure = a.secure
			if a.secure || !a.websocket() {
				o.TLSConfig = a.tlsConfig()
			}
			return nil
		},
	}
	if a.cfg.Node != "" {
		opts = append(opts, nats.CustomInboxPrefix("_INBOX."+a.cfg.Node))
	}
	return append(opts, a.login...)
}

// dialer ends a connection, even a half-made one, when ctx ends, and keeps the
// error that the client library would swallow.
type dialer struct {
	ctx     context.Context
	timeout time.Duration
	failed  *error
}

func (d *dialer) Dial(network, addr string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: d.timeout}).DialContext(d.ctx, network, addr)
	if err != nil {
		*d.failed = err
		return nil, err
	}
	context.AfterFunc(d.ctx, func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(d.timeout)); err != nil { // for a handshake before the library sets its own
		return nil, errors.Join(fmt.Errorf("bound the handshake: %w", err), conn.Close())
	}
	return conn, nil
}
