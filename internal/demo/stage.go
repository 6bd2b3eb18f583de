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
	"github.com/wazuh-pulse/pulse/seal"
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
	home   string // above the manager's, where dir is too long for it; else ""
	node   *daemon.Node
	server string // where its messages are
	prefix event.Prefix
	wayOut func() wayOut // to somebody else's server; nil: it is the demo's own
	host   *host         // nil: agents connect to the node
	agents *agentsim.Fleet
	ids    []string
	names  map[string]string
	opener *seal.Opener // nil: messages are not signed
	keys   string       // the node's public ones
	mine   string       // with which to decrypt; "" if nothing is encrypted
	hang   func()       // ends the hearing
	heard  chan *nats.Msg
	failed chan error // room for one of the node and one of the agents
	stop   context.CancelFunc
	work   sync.WaitGroup
}

// open sets the stage in a temporary directory.
func open(ctx context.Context, demo Config) (s *stage, err error) {
	ctx, stop := context.WithCancel(ctx)
	s = &stage{stop: stop, prefix: event.DefaultPrefix, names: make(map[string]string), heard: make(chan *nats.Msg, 1<<16), failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "pulse-demo-"); err != nil {
		return s, err
	}
	cfg := config.Default()
	if cfg.Pulse.ClientKeys, err = s.writeKeys(demo.Agents); err != nil {
		return s, err
	}
	if cfg.Pulse.StateDir, err = s.stateDir(demo.StateDir); err != nil {
		return s, err
	}
	cfg.Pulse.Link, cfg.Pulse.HTTP, cfg.Pulse.NodeName = "listen", "127.0.0.1:0", "demo"
	cfg.Remote.LocalIP, cfg.Remote.Port = netip.MustParseAddr("127.0.0.1"), 0
	cfg.NATS.Listen = "127.0.0.1:0"
	if demo.Attach {
		if err := s.hire(cfg.Pulse.ClientKeys); err != nil {
			return s, err
		}
		cfg.Pulse.Link, cfg.Pulse.Home = "attach", s.host.Home()
		s.work.Go(func() { s.host.neighbour(ctx) })
	}
	if demo.Server != "" {
		s.prefix = serverPrefix
		cfg.Pulse.NodeName = "demo-" + strings.ToLower(rand.Text()[:6])
		cfg.NATS.NoRoster = true // the IDs of agents may be those of real ones
		cfg.NATS.ServerURL, cfg.NATS.ReconnectDelay, cfg.NATS.SubjectPrefix = demo.Server, serverDelay, string(serverPrefix)
	}
	cfg.KeepAlive = config.KeepAlive{Enabled: true, Interval: interval, Timeout: timeout, MaxMissed: maxMissed,
		RetryInterval: retryInterval, Method: "request", ReconnectGrace: grace, SuspectTimeout: suspectTimeout,
		OutageShare: outageShare, OutageHold: outageHold, FlapThreshold: flapThreshold, FlapWindow: flapWindow}
	if err := s.equip(&cfg, demo); err != nil {
		return s, err
	}
	quiet := slog.New(slog.DiscardHandler) // the demo says itself what happens
	if s.node, err = daemon.Open(ctx, &cfg, demo.Version, quiet); err != nil {
		return s, err
	}
	if demo.Sign {
		if err := s.trust(); err != nil {
			return s, errors.Join(err, s.node.Run(cancelled()))
		}
	}
	err = s.listen(ctx, demo.Server, cfg.Pulse.NodeName) // before the node says its first word
	s.work.Go(func() {
		if err := s.node.Run(ctx); err != nil {
			s.failed <- err
		}
	})
	if err != nil {
		return s, err
	}
	return s, s.populate(ctx, cfg.Pulse.ClientKeys)
}

// stateDir makes the directory of the node's own data. It has to be new: the
// statuses in another one's are of other agents.
func (s *stage) stateDir(wanted string) (string, error) {
	if wanted == "" {
		return filepath.Join(s.dir, "state"), nil
	}
	if err := os.Mkdir(wanted, 0o700); err != nil {
		return "", fmt.Errorf("make the directory for the demo's data: %w", err)
	}
	return wanted, nil
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

// listen hears all the node says, on the demo's own server or on somebody else's.
func (s *stage) listen(ctx context.Context, server, node string) error {
	if server != "" {
		l, err := reach(ctx, server, node, s.heard)
		if err != nil {
			return err
		}
		s.server, s.hang, s.wayOut = l.client.ConnectedUrlRedacted(), l.close, func() wayOut {
			out := s.node.Status().Outbox
			return wayOut{out.Connected, out.Status.Backlog + out.Telemetry.Backlog, out.Status.Published + out.Telemetry.Published}
		}
		return l.listen(ctx, &s.work)
	}
	s.server = s.node.NATSURL()
	client, err := nats.Connect(s.server, nats.Name("pulse demo"))
	if err != nil {
		return fmt.Errorf("connect to the demo's NATS server: %w", err)
	}
	s.hang = client.Close
	if _, err := client.ChanSubscribe(s.prefix.All(), s.heard); err != nil {
		return err
	}
	return client.Flush()
}

// populate starts the agents.
func (s *stage) populate(ctx context.Context, keyFile string) error {
	set, _, err := clientkeys.ReadFile(keyFile)
	if err != nil {
		return err
	}
	keys := set.Keys()
	manager := s.node.AgentAddr()
	if s.host != nil {
		manager = s.host.AgentAddr()
	}
	s.agents, err = agentsim.New(agentsim.Config{Manager: manager.String(), Keys: keys, Notify: notify, Spread: s.host != nil})
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

// end ends everything but the manager, of which there is something to tell then.
func (s *stage) end() {
	s.stop()
	if s.hang != nil {
		s.hang()
	}
	s.work.Wait()
}

// close ends everything and removes the directory.
func (s *stage) close() error {
	s.end()
	var err error
	if s.host != nil {
		err = s.host.Close()
	}
	if s.home != "" {
		err = errors.Join(err, os.RemoveAll(s.home))
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
