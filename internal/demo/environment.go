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
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
	"github.com/wazuh-pulse/pulse/seal"
)

// Timings of the demo, short enough for every kind of failure to be detected
// within half a minute.
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

	// An agent of the demo fails and recovers, three changes, every five seconds at
	// most: that is no flapping.
	flapThreshold = 10
	flapWindow    = 10 * time.Second

	// slowest is the longest that a failure may stay undetected: the timeout, and
	// some time for a busy machine.
	slowest = timeout + 1500*time.Millisecond
)

// environment is the node, the agents and the client, all running.
type environment struct {
	dir             string
	tempHome        string // of the manager, where the path of dir is too long; otherwise ""
	node            *daemon.Node
	server          string // URL of the NATS server with the messages
	prefix          event.Prefix
	readServerState func() serverState // of a server that is not the demo's own; otherwise nil
	host            *managerHost       // nil if agents connect to the node
	agents          *agentsim.Fleet
	hosts           atomic.Pointer[agentsim.Fleet] // the same, for the prober
	ids             []string
	names           map[string]string
	opener          *seal.Opener // nil if messages are not signed
	publicKeys      string       // file with the node's public keys
	decryptKey      string       // file with the key to decrypt with; "" if nothing is encrypted
	closeListener   func()       // stops receiving messages
	messages        chan *nats.Msg
	failed          chan error // room for one of the node and one of the agents
	stop            context.CancelFunc
	work            sync.WaitGroup
}

// openEnvironment starts everything, in a temporary directory.
func openEnvironment(ctx context.Context, demo Config) (s *environment, err error) {
	ctx, stop := context.WithCancel(ctx)
	s = &environment{stop: stop, prefix: event.DefaultPrefix, names: make(map[string]string), messages: make(chan *nats.Msg, 1<<16), failed: make(chan error, 2)}
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if s.dir, err = os.MkdirTemp("", "pulse-demo-"); err != nil {
		return s, err
	}
	cfg := config.Default()
	if cfg.Pulse.ClientKeys, err = s.writeKeys(demo.Agents, demo.Wazuh5); err != nil {
		return s, err
	}
	if cfg.Pulse.StateDir, err = s.createStateDir(demo.StateDir); err != nil {
		return s, err
	}
	cfg.Pulse.Link, cfg.Pulse.HTTP, cfg.Pulse.NodeName = "listen", "127.0.0.1:0", "demo"
	cfg.Remote.LocalIP, cfg.Remote.Port = netip.MustParseAddr("127.0.0.1"), 0
	cfg.NATS.Listen = "127.0.0.1:0"
	if demo.StartManager != nil {
		if err := s.startManager(demo.StartManager, cfg.Pulse.ClientKeys); err != nil {
			return s, err
		}
		s.host.of5 = demo.Wazuh5
		cfg.Pulse.Link, cfg.Pulse.Home = "attach", s.host.Home()
		s.work.Go(func() { s.host.runOtherClient(ctx) })
	}
	if demo.Server != "" {
		s.prefix = serverPrefix
		cfg.Pulse.NodeName = "demo-" + strings.ToLower(rand.Text()[:6])
		cfg.NATS.NoRoster = true // real agents may have the same IDs
		cfg.NATS.ServerURL, cfg.NATS.ReconnectDelay, cfg.NATS.SubjectPrefix = demo.Server, serverDelay, string(serverPrefix)
	}
	cfg.KeepAlive = config.KeepAlive{Enabled: true, Interval: interval, Timeout: timeout, MaxMissed: maxMissed,
		RetryInterval: retryInterval, Method: "request", ReconnectGrace: grace, SuspectTimeout: suspectTimeout,
		OutageShare: outageShare, OutageHold: outageHold, FlapThreshold: flapThreshold, FlapWindow: flapWindow,
		HostProbe: true, EscalateAfter: []time.Duration{escalateAfter}}
	if err := s.configureKeys(&cfg, demo); err != nil {
		return s, err
	}
	quiet := slog.New(slog.DiscardHandler) // the demo prints what happens
	if s.node, err = daemon.OpenWithHosts(ctx, &cfg, demo.Version, s.probeHost, quiet); err != nil {
		return s, err
	}
	if demo.Sign {
		if err := s.loadVerifier(); err != nil {
			return s, errors.Join(err, s.node.Run(cancelledContext()))
		}
	}
	err = s.startListener(ctx, demo.Server, cfg.Pulse.NodeName) // before the node's first message
	s.work.Go(func() {
		if err := s.node.Run(ctx); err != nil {
			s.failed <- err
		}
	})
	if err != nil {
		return s, err
	}
	return s, s.startAgents(ctx, cfg.Pulse.ClientKeys)
}

// createStateDir creates the directory of the node's data. It must be new: an
// existing one holds the statuses of other agents.
func (s *environment) createStateDir(wanted string) (string, error) {
	if wanted == "" {
		return filepath.Join(s.dir, "state"), nil
	}
	if err := os.Mkdir(wanted, 0o700); err != nil {
		return "", fmt.Errorf("make the directory for the demo's data: %w", err)
	}
	return wanted, nil
}

// writeKeys writes client.keys with the agents. A manager of Wazuh 5 gives numbers from 1024 on.
func (s *environment) writeKeys(agents int, of5 bool) (path string, err error) {
	before := 0
	if of5 {
		before = 1023
	}
	roles := []string{"web", "db", "mail", "dc", "laptop", "build", "vpn", "files"}
	var text strings.Builder
	for i := 1; i <= agents; i++ {
		id := fmt.Sprintf("%03d", before+i)
		name := fmt.Sprintf("%s-%s", roles[i%len(roles)], id)
		var secret [32]byte
		_, _ = rand.Read(secret[:]) // never fails
		fmt.Fprintf(&text, "%s %s any %s\n", id, name, hex.EncodeToString(secret[:]))
		s.ids, s.names[id] = append(s.ids, id), name
	}
	path = filepath.Join(s.dir, "client.keys")
	return path, os.WriteFile(path, []byte(text.String()), 0o600)
}

// startListener receives all messages of the node, on the demo's own server or
// another one.
func (s *environment) startListener(ctx context.Context, server, node string) error {
	if server != "" {
		l, err := newListener(ctx, server, node, s.messages)
		if err != nil {
			return err
		}
		s.server, s.closeListener, s.readServerState = l.client.ConnectedUrlRedacted(), l.close, func() serverState {
			out := s.node.Status().Outbox
			return serverState{out.Connected, out.Status.Backlog + out.Telemetry.Backlog, out.Status.Published + out.Telemetry.Published}
		}
		return l.startListening(ctx, &s.work)
	}
	s.server = s.node.NATSURL()
	client, err := nats.Connect(s.server, nats.Name("pulse demo"))
	if err != nil {
		return fmt.Errorf("connect to the demo's NATS server: %w", err)
	}
	s.closeListener = client.Close
	if _, err := client.ChanSubscribe(s.prefix.All(), s.messages); err != nil {
		return err
	}
	return client.Flush()
}

// startAgents starts the agents.
func (s *environment) startAgents(ctx context.Context, keyFile string) error {
	set, _, err := clientkeys.ReadFile(keyFile)
	if err != nil {
		return err
	}
	keys := set.Keys()
	manager := s.node.AgentAddr()
	if s.host != nil {
		manager = s.host.AgentAddr()
	}
	s.agents, err = agentsim.New(agentsim.Config{Manager: manager.String(), Keys: keys, Notify: notify, Wazuh5: agentsim.Config5{On: s.host != nil && s.host.of5},
		Spread: s.host != nil || runtime.GOOS == "linux"}) // an address that several agents have is not probed
	if err != nil {
		return err
	}
	s.hosts.Store(s.agents)
	s.work.Go(func() {
		if err := s.agents.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
			s.failed <- err
		}
	})
	return nil
}

// errNoHost is for an address that no agent of the demo has alone.
var errNoHost = errors.New("no simulated host has this address")

// probeHost reports whether a simulated host answers.
func (s *environment) probeHost(ctx context.Context, addr netip.Addr, _ []int) (hostprobe.Result, error) {
	fleet := s.hosts.Load()
	if fleet == nil {
		return hostprobe.Result{}, errNoHost
	}
	answers, known := fleet.HostAnswers(addr)
	switch {
	case !known:
		return hostprobe.Result{}, errNoHost
	case answers:
		return hostprobe.Result{Host: hostprobe.Answers, How: "simulated"}, nil
	}
	select {
	case <-time.After(silentTime):
		return hostprobe.Result{Host: hostprobe.Silent, How: "simulated"}, nil
	case <-ctx.Done():
		return hostprobe.Result{}, ctx.Err()
	}
}

// stopAll stops everything but the manager, whose counters are read
// afterwards.
func (s *environment) stopAll() {
	s.stop()
	if s.closeListener != nil {
		s.closeListener()
	}
	s.work.Wait()
}

// close stops everything and removes the directory.
func (s *environment) close() error {
	s.stopAll()
	var err error
	if s.host != nil {
		err = s.host.Close()
	}
	if s.tempHome != "" {
		err = errors.Join(err, os.RemoveAll(s.tempHome))
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}
