package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
)

// Timings of the demo, short enough for every kind of death to be found within
// half a minute.
const (
	notify         = time.Second // the agents' own keep-alives
	interval       = 4 * time.Second
	retryInterval  = 2 * time.Second
	suspectTimeout = 500 * time.Millisecond
	timeout        = 8 * time.Second
	maxMissed      = 3
	grace          = 500 * time.Millisecond

	outageShare = 30
	outageHold  = 5 * time.Second

	// An agent of the demo dies and comes back, three changes, every five seconds
	// at most: that is no flapping.
	flapThreshold = 10
	flapWindow    = 10 * time.Second

	// slowest is the longest that a death may stay unnoticed: the timeout, and
	// some for a busy machine.
	slowest = timeout + 1500*time.Millisecond
)

// stage is the node, the agents and the client, all running.
type stage struct {
	dir    string
	node   *daemon.Node
	agents *agentsim.Fleet
	ids    []string
	names  map[string]string
	client *nats.Conn
	heard  chan *nats.Msg
	failed chan error // room for one of the node and one of the agents
	stop   context.CancelFunc
	work   sync.WaitGroup
}

// open sets the stage in a temporary directory.
func open(ctx context.Context, agents int, version string) (s *stage, err error) {
	ctx, stop := context.WithCancel(ctx)
	s = &stage{stop: stop, names: make(map[string]string), heard: make(chan *nats.Msg, 1<<16), failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "pulse-demo-"); err != nil {
		return s, err
	}
	cfg := config.Default()
	if cfg.Pulse.ClientKeys, err = s.writeKeys(agents); err != nil {
		return s, err
	}
	cfg.Pulse.StateDir = filepath.Join(s.dir, "state")
	cfg.Pulse.Link, cfg.Pulse.HTTP, cfg.Pulse.NodeName = "listen", "", "demo"
	cfg.Remote.LocalIP, cfg.Remote.Port = netip.MustParseAddr("127.0.0.1"), 0
	cfg.NATS.Listen = "127.0.0.1:0"
	cfg.KeepAlive = config.KeepAlive{Enabled: true, Interval: interval, Timeout: timeout, MaxMissed: maxMissed,
		RetryInterval: retryInterval, Method: "request", ReconnectGrace: grace, SuspectTimeout: suspectTimeout,
		OutageShare: outageShare, OutageHold: outageHold, FlapThreshold: flapThreshold, FlapWindow: flapWindow}
	quiet := slog.New(slog.DiscardHandler) // the demo says itself what happens
	if s.node, err = daemon.Open(ctx, &cfg, version, quiet); err != nil {
		return s, err
	}
	s.work.Go(func() {
		if err := s.node.Run(ctx); err != nil {
			s.failed <- err
		}
	})
	if err = s.listen(); err != nil {
		return s, err
	}
	return s, s.populate(ctx, cfg.Pulse.ClientKeys)
}

// writeKeys enrols the agents.
func (s *stage) writeKeys(agents int) (path string, err error) {
	roles := []string{"web", "db", "mail", "dc", "laptop", "build", "vpn", "files"}
	var text strings.Builder
	for i := 1; i <= agents; i++ {
		id := fmt.Sprintf("%03d", i)
		name := fmt.Sprintf("%s-%s", roles[i%len(roles)], id)
		var secret [32]byte
		_, _ = rand.Read(secret[:]) // never fails
		fmt.Fprintf(&text, "%s %s any %s\n", id, name, hex.EncodeToString(secret[:]))
		s.ids, s.names[id] = append(s.ids, id), name
	}
	path = filepath.Join(s.dir, "client.keys")
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// listen subscribes to all the node says.
func (s *stage) listen() (err error) {
	if s.client, err = nats.Connect(s.node.NATSURL(), nats.Name("pulse demo")); err != nil {
		return fmt.Errorf("connect to the demo's NATS server: %w", err)
	}
	if _, err := s.client.ChanSubscribe(event.Prefix(event.DefaultPrefix).All(), s.heard); err != nil {
		return err
	}
	return s.client.Flush()
}

// populate starts the agents.
func (s *stage) populate(ctx context.Context, keyFile string) error {
	set, _, err := clientkeys.ReadFile(keyFile)
	if err != nil {
		return err
	}
	var keys []clientkeys.Key
	for key := range set.All() {
		keys = append(keys, *key)
	}
	s.agents, err = agentsim.New(agentsim.Config{Manager: s.node.AgentAddr().String(), Keys: keys, Notify: notify})
	if err != nil {
		return err
	}
	s.work.Go(func() {
		if err := s.agents.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.failed <- err
		}
	})
	return nil
}

// close ends everything and removes the directory.
func (s *stage) close() error {
	s.stop()
	if s.client != nil {
		s.client.Close()
	}
	s.work.Wait()
	return os.RemoveAll(s.dir)
}
