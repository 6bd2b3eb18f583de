package remote

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// Config is the NATS server to connect to. Files are PEM, but for CredentialsFile.
type Config struct {
	URL             string        // nats:// or tls://; several separated by commas
	Node            string        // our node's name, one NATS token: answers come to inboxes under _INBOX.NODE; "" for any inbox
	CredentialsFile string        // a NATS .creds file; "" for none
	CA              string        // certificates to trust; "" for the system's
	Cert, Key       string        // our own certificate, for mutual TLS; "" for none
	MaxReconnects   int           // failures in a row after which it is called unavailable; it is tried forever
	ReconnectDelay  time.Duration // between two tries; 0 for 5 s
	Timeout         time.Duration // for a dial, and for an answer; 0 for 5 s
	PingInterval    time.Duration // between pings on an idle connection; two unanswered end it; 0 for 10 s
	Log             *slog.Logger  // nil for slog.Default()
}

// Remote keeps one connection. It speaks once when the server goes, and once when it is back.
type Remote struct {
	cfg  Config
	opts []nats.Option
	log  *slog.Logger

	stop    context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	current  *Session      // nil while there is none
	changed  chan struct{} // closed when current is replaced
	failures int           // in a row, until a session is taken for healthy
	doubted  bool          // the last session was ended by its user, on a connection that worked
	errors   uint64        // failures since the start
	since    time.Time     // when Connected or Unavailable of the state changed last
}

// Open checks what can be checked without the network, the URL and the files,
// and starts to connect. That the server cannot be reached is no error.
func Open(cfg Config) (*Remote, error) {
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	if cfg.ReconnectDelay <= 0 {
		cfg.ReconnectDelay = 5 * time.Second
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.PingInterval <= 0 {
		cfg.PingInterval = 10 * time.Second
	}
	address, err := redact(cfg.URL)
	if err != nil {
		return nil, err
	}
	r := &Remote{cfg: cfg, since: time.Now(), changed: make(chan struct{}), log: cfg.Log.With("remote", address)}
	if r.opts, err = options(&cfg); err != nil {
		return nil, fmt.Errorf("set up connection to %s: %w", address, err)
	}
	r.opts = append(r.opts, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		r.log.Debug("from the NATS server", "err", err)
	}))
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.running.Go(func() { r.run(ctx) })
	return r, nil
}

// Close ends the session and does not make another.
func (r *Remote) Close() {
	r.stop()
	r.running.Wait()
}

// options are those of every dial.
func options(cfg *Config) ([]nats.Option, error) {
	opts := []nats.Option{
		nats.Name("pulse"), nats.NoReconnect(), nats.Timeout(cfg.Timeout),
		nats.PingInterval(cfg.PingInterval), nats.MaxPingsOutstanding(2),
	}
	if cfg.Node != "" {
		opts = append(opts, nats.CustomInboxPrefix("_INBOX."+cfg.Node))
	}
	if cfg.CredentialsFile != "" {
		if _, err := os.ReadFile(cfg.CredentialsFile); err != nil {
			return nil, fmt.Errorf("read NATS credentials: %w", err)
		}
		opts = append(opts, nats.UserCredentials(cfg.CredentialsFile))
	}
	if cfg.CA != "" {
		opts = append(opts, nats.RootCAs(cfg.CA))
	}
	if cfg.Cert != "" || cfg.Key != "" {
		opts = append(opts, nats.ClientCert(cfg.Cert, cfg.Key))
	}
	var probe nats.Options
	for _, opt := range opts {
		if err := opt(&probe); err != nil {
			return nil, err
		}
	}
	return opts, nil
}

// redact checks a list of URLs and takes user, password and token out of it.
func redact(urls string) (string, error) {
	var clean []string
	for part := range strings.SplitSeq(urls, ",") {
		part = strings.TrimSpace(part)
		if !strings.Contains(part, "://") {
			part = "nats://" + part
		}
		u, err := url.Parse(part)
		if err != nil || u.Host == "" {
			return "", errors.New("NATS server URL: want nats://host:port or tls://host:port") // err would quote a password
		}
		u.User = nil
		clean = append(clean, u.String())
	}
	return strings.Join(clean, ","), nil
}
