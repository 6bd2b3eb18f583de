package outbox

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"
)

// readerName is who a client without credentials is. It has no password: it
// need not be one secret more.
const readerName = "reader"

// What clients may use of the server. The most memory that readers who do not
// read can hold is connectionsMax times pendingMax, 4 GiB; then they are cut off.
const (
	connectionsMax   = 128
	connectionsTaken = 4 * connectionsMax // for a moment: see limitConnections
	subscriptionsMax = 1000               // of one connection
	pendingMax       = 32 << 20           // bytes that wait for one connection
)

// startServer starts the embedded server and connects to it in process, as the
// one user with full rights. The keys of our users live only in this process.
func (o *Outbox) startServer() error {
	var err error
	if o.owner, err = newUser(nil); err != nil {
		return err
	}
	if o.answers, err = newUser(serviceRights()); err != nil {
		return err
	}
	if o.rosters, err = newUser(rosterRights()); err != nil {
		return err
	}
	if o.tellers, err = newUser(bulletinRights()); err != nil {
		return err
	}
	if err := o.runServer(); err != nil {
		return err
	}
	o.nc, err = nats.Connect("", nats.InProcessServer(inProcess{o}), nats.Nkey(o.owner.name, o.owner.key.Sign),
		nats.Name("pulse"), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond),
		// The client library would write it to stderr. A reader that lost messages notices (see next).
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			o.log.Debug("from the embedded server", "err", err)
		}))
	if err != nil {
		return fmt.Errorf("connect to embedded server: %w", err)
	}
	o.js, err = jetstream.New(o.nc, jetstream.WithPublishAsyncTimeout(o.timing.ack))
	if err != nil {
		return fmt.Errorf("connect to embedded server: %w", err)
	}
	return nil
}

// runServer starts the embedded server, at the address that it had before.
func (o *Outbox) runServer() error {
	opts, err := serverOptions(o.cfg, o.owner, o.answers, o.rosters, o.tellers)
	if err != nil {
		return err
	}
	if o.port != 0 {
		opts.Port = o.port
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("create embedded server: %w", err)
	}
	o.serving.Lock()
	o.srv = srv
	o.serving.Unlock()
	srv.SetLoggerV2(o.health, false, false, false)
	srv.Start()
	if err := o.health.err(o.cfg.Dir); err != nil {
		return fmt.Errorf("start embedded server: %w", err)
	}
	if !srv.ReadyForConnections(10 * time.Second) {
		return errors.New("start embedded server: not ready after 10s")
	}
	if err := srv.GlobalAccount().EnableJetStream(nil, nil); err != nil {
		return fmt.Errorf("start embedded server: %w", err)
	}
	if err := o.health.err(o.cfg.Dir); err != nil {
		return fmt.Errorf("start embedded server: %w", err)
	}
	if addr, ok := srv.Addr().(*net.TCPAddr); ok {
		o.port = addr.Port
	}
	return nil
}

// user is one of ours.
type user struct {
	key    nkeys.KeyPair
	name   string              // by which the server knows it
	rights *server.Permissions // nil for all
}

func newUser(rights *server.Permissions) (*user, error) {
	u := &user{rights: rights}
	var err error
	if u.key, err = nkeys.CreateUser(); err == nil {
		u.name, err = u.key.PublicKey()
	}
	if err != nil {
		return nil, fmt.Errorf("create key for the embedded server: %w", err)
	}
	return u, nil
}

func serverOptions(cfg Config, users ...*user) (*server.Options, error) {
	ours, readers, err := newAccounts(cfg.Prefix)
	if err != nil {
		return nil, fmt.Errorf("set up accounts of the embedded server: %w", err)
	}
	opts := &server.Options{
		ServerName: "pulse",
		NoSigs:     true,
		DontListen: true,
		JetStream:  true,
		StoreDir:   cfg.Dir,
		// Without a limit given, the server takes 75 % of what is free at start
		// and refuses STATUS beyond it. Only the disk shall be the limit.
		JetStreamMaxStore:      1 << 60,
		JetStreamMaxMemory:     64 << 20,
		DisableJetStreamBanner: true,
		Users:                  []*server.User{{Username: readerName, Account: readers, Permissions: readerRights(cfg.Prefix)}},
		NoAuthUser:             readerName,
		Accounts:               []*server.Account{ours, readers},
		MaxConn:                connectionsTaken,
		MaxSubs:                subscriptionsMax,
		MaxPending:             pendingMax,
	}
	for _, u := range users {
		opts.Nkeys = append(opts.Nkeys, &server.NkeyUser{Nkey: u.name, Account: ours, Permissions: u.rights})
	}
	if cfg.Listen == "" {
		return opts, nil
	}
	host, port, err := checkListen(cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen on %s for NATS clients (<nats><listen>): %w", cfg.Listen, err)
	}
	opts.DontListen, opts.Host, opts.Port = false, host, port
	return opts, nil
}

// checkListen binds to the address and lets go of it again: the server itself
// only says that it cannot after it has read all streams.
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
		var errno syscall.Errno
		if errors.As(err, &errno) {
			return "", 0, errno
		}
		return "", 0, err
	}
	l.Close()
	if port == 0 {
		port = server.RANDOM_PORT
	}
	return host, port, nil
}
