// Package survival holds the detector to its word while its process is killed
// and stopped: a real daemon in a process of its own, simulated agents in this one.
package survival

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/testport"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"go.uber.org/goleak"
)

// childEnv names the settings file of a test binary that is to be a daemon.
const childEnv = "PULSE_SURVIVAL_SETTINGS"

// Timings of the daemon under test. The agents share a process with the test,
// which a busy machine may starve: an answer has a second to come.
const (
	interval = 500 * time.Millisecond
	timeout  = 4 * time.Second
	answer   = time.Second
	notify   = 200 * time.Millisecond
)

// patience is how long a test waits for what has to come.
const patience = time.Minute

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := beDaemon(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	testsupport.RunInParallel(3) // they mostly wait
	goleak.VerifyTestMain(m)
}

func beDaemon(path string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var cfg config.Config
	if err := json.Unmarshal(text, &cfg); err != nil {
		return err
	}
	node, err := daemon.Open(ctx, &cfg, "0.0.0", slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	fmt.Println("open")
	return node.Run(ctx)
}

// site is a daemon's place: its files and addresses stay over its lives.
type site struct {
	t        *testing.T
	settings string
	cfg      config.Config
	keys     []clientkeys.Key
}

func newSite(t *testing.T, agents int) *site {
	t.Helper()
	dir := t.TempDir()
	s := &site{t: t, settings: filepath.Join(dir, "settings.json"), cfg: config.Default()}
	var text strings.Builder
	for i := 1; i <= agents; i++ {
		fmt.Fprintf(&text, "%03d host-%03d any %032d\n", i, i, i)
	}
	c := &s.cfg
	c.Pulse.Home, c.Pulse.StateDir, c.Pulse.ClientKeys, c.Pulse.HTTP = dir, filepath.Join(dir, "state"), filepath.Join(dir, "client.keys"), ""
	c.Remote.LocalIP, c.Remote.Port = netip.MustParseAddr("127.0.0.1"), testport.Free(t)
	c.NATS.Listen = fmt.Sprintf("127.0.0.1:%d", testport.Free(t))
	c.KeepAlive.Interval, c.KeepAlive.Timeout, c.KeepAlive.RetryInterval = interval, timeout, answer
	c.KeepAlive.SuspectTimeout, c.KeepAlive.ReconnectGrace = answer, 200*time.Millisecond
	c.KeepAlive.FlapThreshold = 100 // agents that die all the time are what the test is made of
	s.write(c.Pulse.ClientKeys, []byte(text.String()))
	s.writeSettings()
	set, _, err := clientkeys.ReadFile(c.Pulse.ClientKeys)
	if err != nil {
		t.Fatal(err)
	}
	s.keys = set.Keys()
	return s
}

// writeSettings writes the settings for lives that begin from now on.
func (s *site) writeSettings() {
	s.t.Helper()
	settings, err := json.Marshal(&s.cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(s.settings, settings)
}

func (s *site) write(path string, data []byte) {
	s.t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// fleet starts the site's agents.
func (s *site) fleet(reconnect time.Duration) *agentsim.Fleet {
	s.t.Helper()
	fleet, err := agentsim.New(agentsim.Config{Manager: fmt.Sprintf("127.0.0.1:%d", s.cfg.Remote.Port), Keys: s.keys,
		Notify: notify, Reconnect: reconnect, Retry: 200 * time.Millisecond, StartupTimeout: 2 * time.Second})
	if err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = fleet.Run(ctx) })
	s.t.Cleanup(func() { cancel(); running.Wait() })
	return fleet
}

// life is one process of the daemon.
type life struct {
	t    *testing.T
	cmd  *exec.Cmd
	said strings.Builder // its log
	once sync.Once
}

// start begins a life. With ready, it returns when the daemon is open.
func (s *site) start(ready bool) *life {
	s.t.Helper()
	l := &life{t: s.t, cmd: exec.Command(os.Args[0])}
	l.cmd.Env = append(os.Environ(), childEnv+"="+s.settings)
	l.cmd.Stderr = &l.said
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(l.kill)
	if ready {
		if _, err := out.Read(make([]byte, 16)); err != nil {
			l.kill()
			s.t.Fatalf("the daemon did not open: %v\n%s", err, l.said.String())
		}
	}
	return l
}

func (l *life) signal(sig syscall.Signal) {
	l.t.Helper()
	if err := l.cmd.Process.Signal(sig); err != nil {
		l.t.Fatal(err)
	}
}

// kill ends the life without a word.
func (l *life) kill() {
	l.once.Do(func() {
		_ = l.cmd.Process.Kill()
		_ = l.cmd.Wait()
	})
}
