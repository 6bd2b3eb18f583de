package remote

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// Dial connects one session, to one of the servers. Its error is a [Failure]
// for each of them, or ctx's. The session ends with ctx.
func Dial(ctx context.Context, cfg Config) (*Session, error) {
	cfg = cfg.withDefaults()
	if cfg.Context != "" {
		return dialContext(ctx, &cfg)
	}
	servers, err := parseServers(&cfg)
	if err != nil {
		return nil, err
	}
	return dialServers(ctx, &cfg, servers, nil)
}

// dialServers tries the servers in random order, so that not all nodes are
// connected to the first.
func dialServers(ctx context.Context, cfg *Config, servers []endpoint, r *Remote) (*Session, error) {
	m, err := loadLoginFiles(cfg)
	if err != nil {
		return nil, err
	}
	defer m.wipeKeys()
	failures := make(serverFailures, len(servers))
	for _, i := range rand.Perm(len(servers)) {
		a := &attempt{cfg: cfg, endpoint: servers[i], loginFiles: m}
		s, err := a.connectServer(ctx, r)
		if err == nil {
			if r != nil {
				r.reportFailover(failures, s)
			}
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		failures[i] = a.diagnoseError(err)
	}
	if len(failures) == 1 {
		return nil, failures[0]
	}
	return nil, failures
}

// attempt is one dial of one server, and what was learned by it.
type attempt struct {
	cfg *Config
	endpoint
	*loginFiles

	dialErr    error // why the connection could not be established
	asked      bool  // the server requested a certificate
	handshaken bool  // the TLS handshake succeeded on this side

	chain []*x509.Certificate // by which the server's certificate was verified, that first; nil without TLS
}

func (a *attempt) connectServer(ctx context.Context, r *Remote) (*Session, error) {
	return a.openSession(ctx, r, a.buildOptions(), func(opts ...nats.Option) (*nats.Conn, error) { return nats.Connect(a.endpoint.String(), opts...) })
}

// openSession makes a session of the connection that connect returns.
func (a *attempt) openSession(ctx context.Context, r *Remote, opts []nats.Option, connect func(opts ...nats.Option) (*nats.Conn, error)) (*Session, error) {
	dialing, giveUp := context.WithCancel(ctx)
	s := &Session{remote: r, attempt: a, ended: make(chan struct{}), refused: make(map[string]error), errorSignal: make(chan struct{})}
	opts = append(opts,
		func(o *nats.Options) error {
			if o.CustomDialer == nil { // a context may have a proxy
				o.CustomDialer = &dialer{ctx: dialing, timeout: a.cfg.Timeout, failed: &a.dialErr}
			}
			return nil
		},
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { s.handleServerError(err) }),
		nats.ClosedHandler(func(nc *nats.Conn) {
			giveUp()
			s.handleConnClosed(nc.LastError())
		}))
	var err error
	if s.Conn, err = connect(opts...); err != nil {
		giveUp()
		return nil, err
	}
	return s, nil
}

// buildOptions returns the options of every dial. TLS is configured even if it
// is not required here: a server may require it.
func (a *attempt) buildOptions() []nats.Option {
	opts := append(a.commonOptions(), func(o *nats.Options) error {
		o.Secure = a.secure
		if a.secure || !a.websocket() {
			o.TLSConfig = a.tlsConfig()
		}
		return nil
	})
	if a.cfg.Node != "" {
		opts = append(opts, nats.CustomInboxPrefix("_INBOX."+a.cfg.Node))
	}
	return append(opts, a.login...)
}

// commonOptions returns the options of a connection, whatever its server and login are described by.
func (a *attempt) commonOptions() []nats.Option {
	return []nats.Option{nats.Name(a.cfg.Name), nats.NoReconnect(), nats.Timeout(a.cfg.Timeout), nats.SkipHostLookup(),
		nats.PingInterval(a.cfg.PingInterval), nats.MaxPingsOutstanding(2)}
}

// dialer closes a connection, also during its handshake, when ctx ends, and
// keeps the error that the client library does not return.
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
	if err := conn.SetDeadline(time.Now().Add(d.timeout)); err != nil { // for the handshake, before the library sets its own
		return nil, errors.Join(fmt.Errorf("bound the handshake: %w", err), conn.Close())
	}
	return conn, nil
}

// endpoint is one of the server URLs.
type endpoint struct {
	url    *url.URL
	secure bool // TLS is required, whether the server requires it or not
}

// String returns the URL, which holds no secret.
func (e endpoint) String() string { return e.url.String() }

func (e endpoint) websocket() bool { return e.url.Scheme == "ws" || e.url.Scheme == "wss" }

// parseServers parses the URLs. Its errors neither quote nor wrap a URL: it
// may hold a password.
func parseServers(cfg *Config) (servers []endpoint, err error) {
	for part := range strings.SplitSeq(cfg.URL, ",") {
		part = strings.TrimSpace(part)
		if !strings.Contains(part, "://") {
			part = "nats://" + part
		}
		u, err := url.Parse(part)
		if err != nil || u.Hostname() == "" {
			return nil, errors.New("NATS server URL: want nats://host:port or tls://host:port")
		}
		if u.User != nil {
			return nil, fmt.Errorf("NATS server URL: it has a user or a password in it; secrets come from files only")
		}
		if u.Port() == "" && (u.Scheme == "nats" || u.Scheme == "tls") {
			u.Host = net.JoinHostPort(u.Hostname(), "4222")
		}
		secure := u.Scheme == "tls" || u.Scheme == "wss" || cfg.CA != "" || cfg.Cert != ""
		servers = append(servers, endpoint{u, secure})
	}
	return servers, nil
}
