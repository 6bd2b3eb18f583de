package provision_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
	"github.com/wazuh-pulse/pulse/internal/provision"
)

// runningNode is a node of a cluster without a NATS server of its own.
type runningNode struct {
	*daemon.Node
	cfg  *config.Config
	stop func()
}

// newHubStage makes a setup of three nodes, the first of which runs the server. It is not
// started.
func newHubStage(t *testing.T) *stage {
	t.Helper()
	cfg := requestedConfig(t)
	cfg.Nodes, cfg.Readers, cfg.Cluster, cfg.Hub = []string{"node01", "node02", "node03"}, []string{"xdr"}, "main", "node01"
	cfg.ServerDir, cfg.StoreDir = filepath.Join(cfg.Dir, "server"), t.TempDir()
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	return &stage{T: t, dir: cfg.Dir, port: cfg.Port, refused: make(chan error, 100)}
}

// startNode starts a node with the settings that were written for it, and what it kept from
// a run before.
func (s *stage) startNode(name, stateDir string) *runningNode {
	s.Helper()
	cfg := s.nodeSettings(name)
	cfg.Pulse.StateDir, cfg.Cluster.Enabled, cfg.NATS.ReconnectDelay, cfg.NATS.MaxReconnects = stateDir, true, 100*time.Millisecond, 1
	node, err := daemon.Open(patient(s), cfg, "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		s.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- node.Run(ctx) }()
	n := &runningNode{Node: node, cfg: cfg}
	n.stop = func() {
		if ctx.Err() != nil {
			return
		}
		cancel()
		if err := <-ended; err != nil {
			s.Error(err)
		}
	}
	s.Cleanup(n.stop)
	return n
}

// awaitNodes waits until a node lists all three as living.
func (s *stage) awaitNodes(nc *nats.Conn, name string) {
	s.Helper()
	s.awaitView(name+" knows three living nodes", func() bool {
		ctx, cancel := context.WithTimeout(patient(s), 5*time.Second)
		defer cancel()
		m, err := nc.RequestWithContext(ctx, "pulse."+name+".nodes", nil)
		var answer struct {
			Nodes []struct{ Name, State string } `json:"nodes"`
		}
		return err == nil && json.Unmarshal(m.Data, &answer) == nil && len(answer.Nodes) == 3
	})
}

func TestAClusterWithoutANATSServerHasThatOfOneOfItsNodes(t *testing.T) {
	t.Parallel()
	s := newHubStage(t)
	states := map[string]string{"node01": t.TempDir(), "node02": t.TempDir(), "node03": t.TempDir()}
	master := s.startNode("node01", states["node01"])
	st := s.open()
	if made, err := st.Apply(patient(t), ""); err != nil || len(made) != 4+3+1+3 {
		t.Fatalf("made %v, %v", made, err)
	}
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	master.stop() // else it looks for the bucket of the keys once a minute
	master = s.startNode("node01", states["node01"])
	worker := s.startNode("node02", states["node02"])
	s.startNode("node03", states["node03"])
	nc, js := s.reader("xdr")
	for _, name := range []string{"node01", "node02", "node03"} {
		s.awaitNodes(nc, name)
	}
	s.awaitMessage(js, "TELEMETRY", "wazuh.xdr.manager.status.node03")
	s.verifier("node02") // its keys are there
	s.wantNoMoreRights("node02", "node01")
	s.wantRefusedLogins()
	s.wantRevoked("node03", master)

	away := func() bool {
		return slices.ContainsFunc(worker.Status().Conditions, func(c daemon.Condition) bool {
			return c.Code == "server_node_away" && strings.Contains(c.Problem, "node01")
		})
	}
	if away() {
		t.Error("the server is said to be away while it is there")
	}
	master.stop()
	s.awaitView("a node says that the server is away", away)
	s.startNode("node01", states["node01"])
	s.awaitView("the server is back", func() bool { return !away() })
	nc, _ = s.reader("xdr")
	s.awaitNodes(nc, "node02")
}

// wantRevoked revokes a node's login, and has the node that runs the server read its
// settings again: the login is refused from then on.
func (s *stage) wantRevoked(name string, master *runningNode) {
	s.Helper()
	creds, err := os.ReadFile(s.path("nodes/" + name + "/pulse-nats.creds"))
	if err != nil {
		s.Fatal(err)
	}
	connect := func() error {
		nc, err := nats.Connect(s.url(), nats.UserCredentialBytes(creds), nats.RootCAs(s.path("server/ca.crt")), nats.Timeout(patience), nats.MaxReconnects(0))
		if err == nil {
			nc.Close()
		}
		return err
	}
	if err := connect(); err != nil {
		s.Fatal(err)
	}
	st := s.open()
	if _, err := st.Change(provision.Change{Revoke: []string{name}}); err != nil {
		s.Fatal(err)
	}
	if _, err := master.Reload(master.cfg); err != nil {
		s.Fatal(err)
	}
	if err := connect(); !errors.Is(err, nats.ErrAuthorization) {
		s.Errorf("a revoked login: %v", err)
	}
}

// wantNoMoreRights checks that a node writes nothing of another node.
func (s *stage) wantNoMoreRights(name, other string) {
	s.Helper()
	nc, _ := s.node(name)
	for _, subject := range []string{"$KV.PULSE_CLUSTER." + other + ".001", "$KV.PULSE_CLUSTER." + other + ".node", "$KV.PULSE_KEYS." + other, lastwill.Subject(other),
		lastwill.LostSubject(other), "wazuh.xdr.manager.status." + other, "$JS.API.STREAM.PURGE.KV_PULSE_CLUSTER", "$JS.API.STREAM.DELETE.STATUS",
		"$JS.API.CONSUMER.CREATE.STATUS", "$SYS.REQ.SERVER.PING"} {
		if err := nc.Publish(subject, []byte("x")); err != nil {
			s.Fatal(err)
		}
		s.mayNot(subject)
	}
}

// wantRefusedLogins checks that nobody gets in without a login, without TLS, or with the
// login of another setup.
func (s *stage) wantRefusedLogins() {
	s.Helper()
	other := newHubStage(s.T)
	creds, ca := nats.UserCredentials(s.path("nodes/node02/pulse-nats.creds")), nats.RootCAs(s.path("server/ca.crt"))
	for name, opts := range map[string][]nats.Option{
		"no login":                  {ca},
		"no TLS":                    {creds},
		"another setup's login":     {ca, nats.UserCredentials(other.path("nodes/node02/pulse-nats.creds"))},
		"a user and a password":     {ca, nats.UserInfo("node02", "node02")},
		"the embedded server's own": {ca, nats.UserInfo("reader", "")},
	} {
		url := s.url()
		if name == "no TLS" {
			url = strings.Replace(url, "tls:", "nats:", 1)
		}
		if nc, err := nats.Connect(url, append(opts, nats.MaxReconnects(0))...); err == nil {
			nc.Close()
			s.Errorf("%s: it is let in", name)
		}
	}
}
