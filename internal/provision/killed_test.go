package provision_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/seal"
)

// nodeToBeKilled is the variable with the directory of a node that this process is to be,
// until it is killed.
const nodeToBeKilled = "PULSE_TEST_NODE_TO_BE_KILLED"

func runNodeToBeKilled() {
	dir := os.Getenv(nodeToBeKilled)
	if dir == "" {
		return
	}
	loaded, err := config.Load(filepath.Join(dir, "nats.conf"))
	if err == nil {
		var node *daemon.Node
		settleInDir(&loaded.Config, dir)
		if node, err = daemon.Open(context.Background(), &loaded.Config, "1.2.3", slog.Default()); err == nil {
			err = node.Run(context.Background())
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// settleInDir sets where a node of a test has its files, and where its agents connect.
func settleInDir(cfg *config.Config, dir string) {
	cfg.Pulse.Home, cfg.Pulse.StateDir, cfg.Pulse.ClientKeys, cfg.Pulse.HTTP = dir, filepath.Join(dir, "state"), filepath.Join(dir, "client.keys"), ""
	cfg.Remote.LocalIP, cfg.Remote.Port = netip.MustParseAddr("127.0.0.1"), 0
	cfg.KeepAlive.Interval, cfg.KeepAlive.RetryInterval = 200*time.Millisecond, 100*time.Millisecond
}

// With the rights and streams that were made for it, and at the pace of every day, a node
// that is killed is announced within 35 s by a message that any consumer accepts, and is
// announced to be back when it is.
func TestAKilledNodeIsAnnouncedWithin35Seconds(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	t.Parallel()
	s := newStage(t)
	cfg := s.nodeSettings("node01")
	nc, js := s.reader("xdr")
	live, err := nc.SubscribeSync("wazuh.xdr.alerts.>")
	if err != nil {
		t.Fatal(err)
	}
	s.nothingRefused(nc)
	child := exec.Command(os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), nodeToBeKilled+"="+filepath.Dir(cfg.Pulse.StateDir))
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	s.awaitMessage(js, "TELEMETRY", "wazuh.xdr.manager.status.node01")
	s.awaitScheduled("node01")
	opener := &seal.Opener{Verifier: s.verifier("node01"), Guard: seal.NewGuard(seal.GuardConfig{})}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	killed := time.Now()
	_ = child.Wait()
	lost := s.nextNodeAlert(opener, live)
	if took := time.Since(killed); took > 35*time.Second {
		t.Errorf("it took %v", took)
	}
	if lost.Lost == nil || lost.Lost.Node != "node01" {
		t.Errorf("%+v", lost)
	}
	s.awaitMessage(js, "STATUS", "wazuh.xdr.alerts.node_lost")
	node, err := daemon.Open(patient(t), cfg, "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	if back := s.nextNodeAlert(opener, live); back.Back == nil || back.Back.Node != "node01" {
		t.Errorf("%+v", back)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// awaitScheduled waits until the server has a node's will.
func (s *stage) awaitScheduled(node string) {
	s.Helper()
	stream, err := s.admin().Stream(patient(s), "PULSE_WILLS_"+node)
	if err != nil {
		s.Fatal(err)
	}
	s.awaitView("there is a will", func() bool {
		m, err := stream.GetLastMsgForSubject(patient(s), "$PULSE.WILL."+node)
		return err == nil && len(m.Data) > 0
	})
}

// verifier returns the public keys that a node has published.
func (s *stage) verifier(node string) *seal.Verifier {
	s.Helper()
	_, js := s.reader("xdr")
	bucket, err := js.KeyValue(patient(s), "PULSE_KEYS")
	if err != nil {
		s.Fatal(err)
	}
	var text []byte
	s.awaitView("the keys are published", func() bool {
		entry, err := bucket.Get(patient(s), node)
		if err == nil {
			text = entry.Value()
		}
		return err == nil
	})
	keys, err := seal.ParseKeys(text)
	if err != nil {
		s.Fatal(err)
	}
	v, err := seal.NewVerifier(keys...)
	if err != nil {
		s.Fatal(err)
	}
	return v
}

// nextNodeAlert returns the next alert about a node, opened as consumers do.
func (s *stage) nextNodeAlert(o *seal.Opener, live *nats.Subscription) *event.NodeLostMessage {
	s.Helper()
	for ctx := patient(s); ; {
		m, err := live.NextMsgWithContext(ctx)
		if err != nil {
			s.Fatal(err)
		}
		opened, err := o.Open(seal.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
		if err != nil {
			s.Fatalf("%s: %v", m.Subject, err)
		}
		if n, ok := opened.Message.(*event.NodeLostMessage); ok {
			return n
		}
	}
}
