package natsserver

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Hub is the NATS server of a cluster that has none on another host: one of its nodes runs
// it, from a configuration as pulse provision writes it. To the nodes, this one among them,
// it is like any other: its users, their rights and its certificate are those of the
// configuration. It has nothing of the embedded server, and shares no streams with it.
//
// It is in the process that watches this node's agents. So what its clients may use of it is
// bounded ([boundHub]), and when it has stopped storing, since its disk was full, it is started
// again.
type Hub struct {
	path  string
	log   *slog.Logger
	lines *hubLog
	retry time.Duration // between two looks at the disk
	end   context.CancelFunc
	ended sync.WaitGroup

	mu  sync.Mutex     // held to read or write srv, and to reload it
	srv *server.Server // nil while it cannot be started again
}

// hubReadyTime is how long the server may take to read its streams.
const hubReadyTime = time.Minute

// StartHub starts the server of a configuration file.
func StartHub(path string, log *slog.Logger) (*Hub, error) {
	return startHub(path, log, hubRetry)
}

func startHub(path string, log *slog.Logger, retry time.Duration) (*Hub, error) {
	h := &Hub{path: path, log: log, lines: &hubLog{newServerLog(log.With("server", "cluster"))}, retry: retry}
	if err := h.startServer(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	h.end = cancel
	h.ended.Go(func() { h.limitConnections(ctx) })
	h.ended.Go(func() { h.restartFailed(ctx) })
	return h, nil
}

// startServer starts a server, in the place of one that was stopped.
func (h *Hub) startServer() error {
	opts, err := readHubConfig(h.path)
	if err != nil {
		return err
	}
	h.lines.reset()
	srv, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("run the cluster's NATS server of %s: %w", h.path, err)
	}
	srv.SetLoggerV2(h.lines, false, false, false)
	srv.Start()
	if err := h.lines.awaitReady(srv); err != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
		return fmt.Errorf("run the cluster's NATS server of %s: %w", h.path, err)
	}
	h.mu.Lock()
	h.srv = srv
	h.mu.Unlock()
	return nil
}

// running returns the running server; nil while there is none.
func (h *Hub) running() *server.Server {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.srv
}

// awaitReady waits until a server takes connections, or has logged why it cannot.
func (l *hubLog) awaitReady(srv *server.Server) error {
	const look = 100 * time.Millisecond
	for until := time.Now().Add(hubReadyTime); time.Now().Before(until); {
		if srv.ReadyForConnections(look) {
			return nil
		}
		if failed := l.context(); failed.Err() != nil {
			return context.Cause(failed)
		}
	}
	return fmt.Errorf("it is not ready after %s", hubReadyTime)
}

// hubLog is a hub's log. What a client may not do is no error of the server: the client is
// told of it, and logs what matters.
type hubLog struct{ *serverLog }

// Errorf logs an error; a refused subject only for debugging.
func (l *hubLog) Errorf(format string, v ...any) {
	level := l.log.Error
	if line := fmt.Sprintf(format, v...); strings.Contains(line, "Publish Violation") || strings.Contains(line, "Subscription Violation") {
		level = l.log.Debug
	}
	l.logLine(level, format, v)
}

// CheckHub returns the address and port on which the server of a configuration file listens, or
// why it cannot be started, if something is wrong with the file.
func CheckHub(path string) (listen string, err error) {
	opts, err := readHubConfig(path)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(opts.Host, strconv.Itoa(max(opts.Port, 0))), nil
}

// readHubConfig reads a configuration. Without TLS and users it would let everybody in.
func readHubConfig(path string) (*server.Options, error) {
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the configuration of the cluster's NATS server: %w", err)
	}
	if opts.TLSConfig == nil || len(opts.TrustedOperators) == 0 {
		return nil, fmt.Errorf("the configuration of the cluster's NATS server, %s, has no tls or no operator: everybody could log in", path)
	}
	opts.NoSigs, opts.NoLog = true, false
	opts.LogFile, opts.PidFile = "", ""
	boundHub(opts)
	return opts, nil
}

// Reload takes up a changed configuration. If that cannot be used, nothing changes.
func (h *Hub) Reload() error {
	opts, err := readHubConfig(h.path)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.srv == nil {
		return nil // it reads the file when it starts
	}
	if err := h.srv.ReloadOptions(opts); err != nil {
		return fmt.Errorf("reload the cluster's NATS server: %w", err)
	}
	return nil
}

// Stop ends the server.
func (h *Hub) Stop() {
	h.end()
	h.ended.Wait()
	h.stopServer()
}

func (h *Hub) stopServer() {
	h.mu.Lock()
	srv := h.srv
	h.srv = nil
	h.mu.Unlock()
	if srv != nil {
		srv.Shutdown()
		srv.WaitForShutdown()
	}
}
