// Package remote connects to the XDR platform's NATS server: its addresses,
// the login, and one connection that is re-established whenever it ends.
//
// The users of the connection get it as a [Session], which lasts from a
// successful dial to its first failure and never reconnects by itself: what is
// sent on one connection arrives in order or not at all, while a connection
// that is re-established by the client library could have lost a message in
// the middle. A user that finds the session not working ends it; a new one
// follows.
//
// Secrets are in files, which are read at every dial. When one of them
// changes, a session with the new files replaces the old one; if the new files
// do not work, the old session stays. No secret is in an error or in the log.
// Why a server could not be used is a [Failure], with one of the [Problems]
// and a hint.
//
// [Open] starts two goroutines, one that owns the dialling and one that
// watches the files; [Remote.Close] ends them and the session. All methods may
// be called concurrently. [Dial] makes a single session and starts nothing
// else.
package remote

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/expiry"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/logonce"
	"github.com/wazuh-pulse/pulse/internal/wake"
)

// Config configures the connection to a NATS server. Certificates and keys are
// in PEM. At most one login is used: credentials, an NKey, a user or a token.
type Config struct {
	URL             string          // nats://, tls://, ws:// or wss://, without a user; several separated by commas
	Node            string          // the node's name, one NATS token: answers arrive at inboxes under _INBOX.NODE; "" for any inbox
	Name            string          // the name of the connection on the server; "" for pulse
	CredentialsFile string          // a NATS .creds file; "" for none
	NKeyFile        string          // a user's NKey seed; "" for none
	User            string          // goes with PasswordFile
	PasswordFile    string          // one line
	TokenFile       string          // one line
	CA              string          // certificates to trust, and TLS is required; "" for the system's
	Cert, Key       string          // the client certificate, for mutual TLS; "" for none
	MaxReconnects   int             // failures in a row after which the state is unavailable; dialling goes on
	ReconnectDelay  time.Duration   // between two tries; 0 for 5 s
	Timeout         time.Duration   // for a dial, and for an answer; 0 for 5 s
	PingInterval    time.Duration   // between pings on an idle connection; two unanswered end it; 0 for 10 s
	JetStreamDomain jsdomain.Domain // whose JetStream is used; "" for the server's own
	Needs           []string        // subjects that the node has to publish to whatever else it may: see State.Refused
	Log             *slog.Logger    // nil for slog.Default()

	// Context is a context of the nats command line, which has the servers, the login, TLS, the
	// inbox and the domain in the place of those above; "" for none. AllowPlaintext lets it log
	// in to another host without encryption, too. Both are for [Dial] alone.
	Context        string
	AllowPlaintext bool

	// Admit, if not nil, is called with each new session before its users get it. It
	// returns nil when they may, waits while they may not, and returns when ctx or the
	// session ends. It may end an admitted session later, with [ErrWithdrawn].
	Admit func(ctx context.Context, s *Session) error

	Tell func(Event, error) // called with every Event, as it happens; it must not block; may be nil
}

// Event is a change of the connection to the server.
type Event string

// The events. Only Failed, Unavailable and NotRenewed have an error, of [Failures].
const (
	Failed      Event = "failed"      // a try to connect, or a connection; also that to one of several servers of which another works
	Unavailable Event = "unavailable" // it failed Config.MaxReconnects times in a row: once, until it is available
	Available   Event = "available"   // after that: it is there, and does what it should
	Connected   Event = "connected"   // there is a connection
	Works       Event = "works"       // after failures on a connection that was there, the server does what it should again
	Renewed     Event = "renewed"     // changed files of the login are in use
	NotRenewed  Event = "not_renewed" // changed files do not work: the old connection stays
)

// withDefaults fills in what may be left out.
func (c Config) withDefaults() Config {
	if c.Tell == nil {
		c.Tell = func(Event, error) {}
	}
	c.Name, c.Log = cmp.Or(c.Name, "pulse"), cmp.Or(c.Log, slog.Default())
	c.ReconnectDelay, c.Timeout = cmp.Or(max(c.ReconnectDelay, 0), 5*time.Second), cmp.Or(max(c.Timeout, 0), 5*time.Second)
	c.PingInterval = cmp.Or(max(c.PingInterval, 0), 10*time.Second)
	return c
}

// Check checks, without using the network, the URL and the contents of the
// files.
func Check(cfg Config) error {
	if _, err := parseServers(&cfg); err != nil {
		return err
	}
	m, err := loadLoginFiles(&cfg)
	if err != nil {
		return err
	}
	m.wipeKeys()
	return nil
}

// Remote keeps one connection. It logs each problem once, and once its end.
type Remote struct {
	cfg     Config
	servers []endpoint
	log     *slog.Logger
	reload  wake.Signal // signals that the files may have changed

	stop    context.CancelFunc
	running sync.WaitGroup

	// Used by the dialling goroutine only:
	loggedFailures  logonce.Keys[string] // failures that were logged since the last success
	loggedFailovers map[string]Problem   // by server: the problem that was logged since it worked last, while another server works
	triedFiles      string               // the state of the files at the last dial

	mu             sync.Mutex
	current        *Session             // nil without a connection
	changed        chan struct{}        // closed when current is replaced
	failures       int                  // in a row, until a session is healthy
	unconfirmed    bool                 // the last session was ended by its user, on a working connection
	errors         uint64               // failures since the start
	since          time.Time            // when Connected or Unavailable of the state changed last
	problem        string               // of the last failure
	refused        uint64               // logins refused since the start
	loggedSubjects logonce.Keys[string] // kinds of refused subjects that were logged
	expiries       []expiry.Item        // of the present session, or the last one
}

// Open checks what [Check] does and starts to connect. It is no error if the
// server cannot be reached.
func Open(cfg Config) (*Remote, error) {
	cfg = cfg.withDefaults()
	if err := Check(cfg); err != nil {
		return nil, fmt.Errorf("set up the way to the NATS server: %w", err)
	}
	servers, err := parseServers(&cfg)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range servers {
		names = append(names, s.String())
	}
	r := &Remote{cfg: cfg, servers: servers, since: time.Now(), log: cfg.Log.With("remote", strings.Join(names, ",")),
		reload: wake.NewSignal(), changed: make(chan struct{}), loggedFailovers: map[string]Problem{}}
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	r.running.Go(func() { r.keepConnected(ctx) })
	if files := cfg.listCredentialFiles(); len(files) > 0 {
		r.running.Go(func() { r.watchCredentialFiles(ctx, files) })
	}
	return r, nil
}

// Close ends the session and the dialling.
func (r *Remote) Close() {
	r.stop()
	r.running.Wait()
}

// State is the state of the connection to the server.
type State struct {
	Connected     bool      `json:"connected"`      // connected, and the server works
	Unavailable   bool      `json:"unavailable"`    // it failed Config.MaxReconnects times in a row
	Since         time.Time `json:"since"`          // when one of these two changed last
	Problem       string    `json:"problem"`        // the [Problem] or several, separated by commas, while it is not connected; may be ""
	Refused       []string  `json:"refused"`        // what the server refuses on this connection of what the node needs: its inbox, and Config.Needs
	User          string    `json:"user"`           // the name in the login, while connected; "" if it has none
	Errors        uint64    `json:"errors"`         // failures since the start
	LoginsRefused uint64    `json:"logins_refused"` // logins that a server refused or revoked since the start, client certificates among them
}

// State returns the present state.
func (r *Remote) State() State {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.currentState()
}

func (r *Remote) currentState() State {
	s := State{Connected: r.current != nil && r.failures == 0, Unavailable: r.failures >= max(r.cfg.MaxReconnects, 1),
		Since: r.since, Errors: r.errors, LoginsRefused: r.refused}
	if !s.Connected {
		s.Problem = r.problem
	}
	if r.current != nil {
		s.Refused, s.User = r.current.listRefusedNeeds(), r.current.User()
	}
	return s
}

// updateSince stores the time if the state differs from before.
func (r *Remote) updateSince(before State) {
	if now := r.currentState(); now.Connected != before.Connected || now.Unavailable != before.Unavailable {
		r.since = time.Now()
	}
}
