package outbox

import (
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

const defaultReconnectDelay = 5 * time.Second

// remote keeps one connection to the server we forward to. Its goroutine dials
// until it succeeds, hands the session to the forwarders, and dials again when
// it has ended. It speaks once when the remote goes, and once when it is back.
type remote struct {
	cfg    Remote
	url    string // without user and password
	prefix string
	timing timing
	opts   []nats.Option
	log    *slog.Logger

	mu       sync.Mutex
	current  *session      // nil while there is none
	changed  chan struct{} // closed when current is replaced
	failures int           // in a row, until a session is taken for healthy
	refused  bool          // the last failure was a batch's, on a connection that worked
	errors   uint64        // failures since the start
}

// newRemote checks what can be checked without the network: the URL and files.
func newRemote(cfg Remote, prefix string, t timing, log *slog.Logger) (*remote, error) {
	if cfg.ReconnectDelay <= 0 {
		cfg.ReconnectDelay = defaultReconnectDelay
	}
	r := &remote{cfg: cfg, prefix: prefix, timing: t, changed: make(chan struct{})}
	var err error
	if r.url, err = redact(cfg.URL); err != nil {
		return nil, err
	}
	r.log = log.With("remote", r.url)
	r.opts = []nats.Option{
		nats.Name("pulse"), nats.NoReconnect(), nats.Timeout(t.sent),
		nats.PingInterval(t.ping), nats.MaxPingsOutstanding(2),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { r.log.Debug("from the NATS server", "err", err) }),
	}
	if cfg.CredentialsFile != "" {
		if _, err := os.ReadFile(cfg.CredentialsFile); err != nil {
			return nil, fmt.Errorf("read NATS credentials: %w", err)
		}
		r.opts = append(r.opts, nats.UserCredentials(cfg.CredentialsFile))
	}
	if cfg.CA != "" {
		r.opts = append(r.opts, nats.RootCAs(cfg.CA))
	}
	if cfg.Cert != "" || cfg.Key != "" {
		r.opts = append(r.opts, nats.ClientCert(cfg.Cert, cfg.Key))
	}
	var probe nats.Options
	for _, opt := range r.opts {
		if err := opt(&probe); err != nil {
			return nil, fmt.Errorf("set up connection to %s: %w", r.url, err)
		}
	}
	return r, nil
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
