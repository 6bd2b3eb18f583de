// Package natsserver runs the embedded NATS server: its accounts, what each user may
// do, what clients may use of it, and its log.
//
// The streams and all that is published are in one account. Clients without credentials
// are readers: they are in an account of their own, may read everything, and nothing
// that they send reaches the other account but a few requests (see readerRights, also
// for what readers can still do). The consumers that they ask for, the package makes
// for them, within bounds ([Server.ServeReaders]).
//
// [Hub] is another server, which a node runs for its cluster.
//
// Goroutines: the server's own, which [Server.Stop] ends. All methods but Start and Stop
// may be called concurrently.
package natsserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Name is the server's name, by which clients know whose server it is.
const Name = "pulse"

// Config configures a [Server].
type Config struct {
	Prefix string // of the subjects that readers receive
	Dir    string // where it stores streams
	Listen string // host:port for readers, port 0 for any free one; "" for none
	Log    *slog.Logger
}

// What clients may use of the server. The most memory that readers who do not
// read can hold is connectionsMax times pendingMax, 4 GiB; then they are cut off.
const (
	connectionsMax   = 128
	connectionsTaken = 4 * connectionsMax // for a moment: see LimitConnections
	subscriptionsMax = 1000               // of one connection
	pendingMax       = 32 << 20           // bytes that wait for one connection
)

// Server is an embedded NATS server that can be stopped and started again.
type Server struct {
	cfg   Config
	users [roles]*user
	log   *serverLog

	mu   sync.Mutex     // held to read or write srv
	srv  *server.Server // nil while it is stopped
	port int            // where it listens; 0 for nowhere
}

// New returns a server that is not started. The keys of its users exist only in this process.
func New(cfg Config) (*Server, error) {
	if err := checkPrefix(cfg.Prefix); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, log: newServerLog(cfg.Log)}
	for role := range roles {
		var err error
		if s.users[role], err = newUser(rightsOf(role)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Start starts the server, at the address that it had before. After an error, Stop has
// to be called.
func (s *Server) Start() error {
	opts, err := s.options()
	if err != nil {
		return err
	}
	s.log.reset()
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("create embedded server: %w", err)
	}
	s.mu.Lock()
	s.srv = srv
	s.mu.Unlock()
	srv.SetLoggerV2(s.log, false, false, false)
	srv.Start()
	if err := s.Err(); err != nil {
		return fmt.Errorf("start embedded server: %w", err)
	}
	if !srv.ReadyForConnections(10 * time.Second) {
		return errors.New("start embedded server: not ready after 10s")
	}
	if err := errors.Join(srv.GlobalAccount().EnableJetStream(nil, nil), s.Err()); err != nil {
		return fmt.Errorf("start embedded server: %w", err)
	}
	if addr, ok := srv.Addr().(*net.TCPAddr); ok {
		s.port = addr.Port
	}
	return nil
}

// Stop ends the server, if it runs. Connections to it wait until it is started again.
func (s *Server) Stop() {
	s.mu.Lock()
	srv := s.srv
	s.srv = nil
	s.mu.Unlock()
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}

// running returns the running server; nil while it is stopped.
func (s *Server) running() *server.Server {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.srv
}

// URL is where readers connect; "" when the server does not listen.
func (s *Server) URL() string {
	if srv := s.running(); srv != nil && s.cfg.Listen != "" {
		return srv.ClientURL()
	}
	return ""
}

// Err returns why the server can store no more; nil while it can.
func (s *Server) Err() error { return s.log.err(s.cfg.Dir) }

// Fail records why the server can store no more, until it is started again. Only the
// first reason counts.
func (s *Server) Fail(err error) { s.log.fail(err) }

// Storing returns a context that ends when the server can store no more.
func (s *Server) Storing() context.Context { return s.log.context() }

// errStopped is why a connection cannot be made.
var errStopped = errors.New("the embedded server does not run: the disk is full")

// InProcessConn makes a connection to the server that runs now, for the client library.
func (s *Server) InProcessConn() (net.Conn, error) {
	if srv := s.running(); srv != nil {
		return srv.InProcessConn()
	}
	return nil, errStopped
}

// Connect makes a connection in process, which reconnects for as long as it is open. The
// caller closes it. The client library's errors are logged for debugging only: whoever
// works on the connection gets them too.
func (s *Server) Connect(role Role) (*nats.Conn, error) {
	as := s.users[role]
	nc, err := nats.Connect("", nats.InProcessServer(s), nats.Nkey(as.name, as.key.Sign),
		nats.Name(role.String()), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			s.cfg.Log.Debug("from the embedded server", "err", err)
		}))
	if err != nil {
		return nil, fmt.Errorf("connect %s to the embedded server: %w", role, err)
	}
	return nc, nil
}

func (s *Server) options() (*server.Options, error) {
	ours, readers, err := newAccounts(s.cfg.Prefix)
	if err != nil {
		return nil, fmt.Errorf("set up accounts of the embedded server: %w", err)
	}
	opts := &server.Options{
		ServerName: Name,
		NoSigs:     true,
		DontListen: true,
		JetStream:  true,
		StoreDir:   s.cfg.Dir,
		// Without a limit given, the server takes 75 % of what is free at start
		// and refuses STATUS beyond it. Only the disk shall be the limit.
		JetStreamMaxStore:      1 << 60,
		JetStreamMaxMemory:     64 << 20,
		DisableJetStreamBanner: true,
		Users:                  []*server.User{{Username: readerName, Account: readers, Permissions: readerRights(s.cfg.Prefix)}},
		NoAuthUser:             readerName,
		Accounts:               []*server.Account{ours, readers},
		MaxConn:                connectionsTaken,
		MaxSubs:                subscriptionsMax,
		MaxPending:             pendingMax,
	}
	for _, u := range s.users {
		opts.Nkeys = append(opts.Nkeys, &server.NkeyUser{Nkey: u.name, Account: ours, Permissions: u.rights})
	}
	if s.cfg.Listen == "" {
		return opts, nil
	}
	host, port, err := checkListen(s.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s for NATS clients (<nats><listen>): %w", s.cfg.Listen, err)
	}
	opts.DontListen, opts.Host, opts.Port = false, host, port
	if s.port != 0 {
		opts.Port = s.port
	}
	return opts, nil
}

// checkListen binds to the address and closes it again: the server itself only reports
// that it cannot after it has read all streams.
func checkListen(addr string) (host string, port int, err error) {
	host, service, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, errors.New("want host:port")
	}
	if port, err = strconv.Atoi(service); err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("port %q: want 0 to 65535", service)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			err = errno
		}
		return "", 0, err
	}
	l.Close()
	return host, cmp.Or(port, server.RANDOM_PORT), nil
}
