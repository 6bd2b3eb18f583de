package outbox

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// childEnv makes the test binary be what it says, and nothing else, until its
// standard input ends: so none outlives the test.
const childEnv = "OUTBOX_CHILD"

// childConfig is what a child is: one of the two.
type childConfig struct {
	Server *serverConfig
	Pulse  *nodeConfig
}

// serverConfig is a NATS server.
type serverConfig struct {
	Name, Dir, Host string
	Port            int
	ClusterPort     int      // 0 for no cluster
	Routes          []string // of a cluster
	NoJetStream     bool
	Deny            string // a subject that nobody may publish to; "" for none
}

// nodeConfig is an outbox, and what publishes to it.
type nodeConfig struct {
	Dir, URL string
	Life     int64 // in its IDs; 0 for one of its own
	Twin     bool  // its subjects are others
}

func runAsChild() bool {
	text := os.Getenv(childEnv)
	if text == "" {
		return false
	}
	var p childConfig
	err := json.Unmarshal([]byte(text), &p)
	switch {
	case err != nil:
	case p.Server != nil:
		err = p.Server.be()
	default:
		err = p.Pulse.be()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

func (p *serverConfig) be() error {
	opts := &server.Options{ServerName: p.Name, Host: p.Host, Port: p.Port, NoSigs: true, JetStream: !p.NoJetStream, StoreDir: p.Dir}
	if p.Deny != "" {
		opts.NoAuthUser = "anybody"
		opts.Users = []*server.User{{Username: "anybody", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{p.Deny}}}}}
	}
	if p.ClusterPort > 0 {
		opts.Cluster = server.ClusterOpts{Name: "far", Host: p.Host, Port: p.ClusterPort, NoAdvertise: true}
		opts.Routes = server.RoutesFromStr(strings.Join(p.Routes, ","))
	}
	return testsupport.ServeNATS(opts, waitMax)
}

// be publishes as a node does: it goes on after what its streams hold. From
// standard input it takes how far, and tells what Publish has returned for.
func (p *nodeConfig) be() error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	timeout, ping, t := 500*time.Millisecond, time.Second, quick
	if p.Life != 0 {
		// A message that is sent again and whose ID somebody else has used cannot be told from a duplicate.
		timeout, ping, t.confirm = waitMax, waitMax, waitMax
	}
	r, err := remote.Open(remote.Config{URL: p.URL, MaxReconnects: 3, ReconnectDelay: 20 * time.Millisecond,
		Timeout: timeout, PingInterval: ping, Log: log})
	if err != nil {
		return err
	}
	defer r.Close()
	ctx := context.Background()
	o, err := openOutbox(ctx, Config{Prefix: prefix, Dir: p.Dir, Remote: r, Log: log}, t)
	if err != nil {
		return err
	}
	s := script{life: cmp.Or(p.Life, time.Now().UnixNano()), twin: p.Twin}
	err = o.ReadLast(ctx, prefix+".agent.*.status_change", func(_ string, data []byte) error {
		var n int
		_, err := fmt.Sscan(string(data), &n)
		s.at = max(s.at, n)
		return err
	})
	for lines := bufio.NewScanner(os.Stdin); err == nil && lines.Scan(); {
		var upTo int
		if _, err = fmt.Sscan(lines.Text(), &upTo); err == nil {
			err = s.publish(ctx, o, upTo)
		}
	}
	return errors.Join(err, o.Close())
}

// script is what happens to agents: change after change, numbered through. Some
// changes are alerts as well, and each has a keep-alive beside it.
type script struct {
	life int64
	twin bool
	at   int // the last change that is told
	sent int
}

// cast is how many agents there are.
const cast = 30

func (s *script) publish(ctx context.Context, o *Outbox, upTo int) error {
	for s.at < upTo {
		size := min(upTo-s.at, 1+rand.IntN(40))
		var msgs []Message
		for n := s.at + 1; n <= s.at+size; n++ {
			agent, alerts := (n*7)%cast, "agent_disconnected"
			if s.twin {
				agent, alerts = agent+cast, "twin"
			}
			msgs = append(msgs, s.message(Status, fmt.Sprintf("%s.agent.%03d.status_change", prefix, agent), n))
			if n%10 == 0 {
				msgs = append(msgs, s.message(Status, prefix+".alerts."+alerts, n))
			}
			msgs = append(msgs, s.message(Telemetry, fmt.Sprintf("%s.manager.keepalive.%03d", prefix, agent), n))
		}
		if err := o.Publish(ctx, msgs); err != nil {
			return err
		}
		fmt.Printf("published %d %d\n", s.at+1, s.at+size)
		s.at += size
		<-time.After(time.Duration(rand.IntN(20)) * time.Millisecond)
	}
	fmt.Printf("reached %d\n", upTo)
	return nil
}

func (s *script) message(c Class, subject string, n int) Message {
	s.sent++
	return Message{Class: c, Subject: subject, ID: fmt.Sprintf("node01-%d-%d-CODE", s.life, s.sent), // life is the epoch
		ContentType: "application/json", Data: fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", 300))}
}

// process is a child that is started and ended again and again. Its log goes to a file.
type process struct {
	t    testing.TB
	part childConfig
	log  string
	line func(string) // takes a line of its standard output

	cmd   *exec.Cmd
	stdin io.WriteCloser
	read  sync.WaitGroup
}

func newProcess(t testing.TB, name string, p childConfig, line func(string)) *process {
	c := &process{t: t, part: p, log: filepath.Join(t.TempDir(), name+".log"), line: line}
	t.Cleanup(func() { c.end(syscall.SIGKILL) })
	return c
}

func (c *process) start() {
	c.t.Helper()
	text, err := json.Marshal(c.part)
	if err != nil {
		c.t.Fatal(err)
	}
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	c.cmd = exec.Command(os.Args[0])
	c.cmd.Env = append(os.Environ(), childEnv+"="+string(text))
	c.cmd.Stderr = log
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		c.t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		c.t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.read.Go(func() {
		for lines := bufio.NewReader(out); ; {
			line, err := lines.ReadString('\n')
			if err != nil {
				return
			}
			c.line(strings.TrimSpace(line))
		}
	})
}

func (c *process) sendLine(words string) { _, _ = io.WriteString(c.stdin, words+"\n") }

// end sends a signal, or with none lets it end by itself, and waits for that.
func (c *process) end(sig syscall.Signal) {
	c.t.Helper()
	if c.cmd == nil {
		return
	}
	if sig != 0 {
		_ = c.cmd.Process.Signal(sig)
	}
	_ = c.stdin.Close()
	c.read.Wait()
	if err := c.cmd.Wait(); err != nil && sig == 0 {
		c.t.Errorf("it ended with %v\n%s", err, c.stderrTail())
	}
	c.cmd = nil
}

// freeze stops the process for a while, as a machine that swaps does.
func (c *process) freeze(d time.Duration) {
	_ = c.cmd.Process.Signal(syscall.SIGSTOP)
	<-time.After(d)
	_ = c.cmd.Process.Signal(syscall.SIGCONT)
}

func (c *process) stderrTail() string {
	text, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-6000):])
}
