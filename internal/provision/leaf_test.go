package provision_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
	"github.com/wazuh-pulse/pulse/internal/provision"
	"github.com/wazuh-pulse/pulse/internal/testport"
)

// startLeaf starts a leaf node from its files as they are, but for where they are and for ports.
func (s *stage) startLeaf(name string) (url string) {
	s.Helper()
	info, err := s.srv.Varz(nil)
	if err != nil {
		s.Fatal(err)
	}
	port := testport.Free(s)
	dir := s.T.TempDir()
	if err := os.CopyFS(dir, os.DirFS(s.path("leaves/"+name))); err != nil {
		s.Fatal(err)
	}
	conf := filepath.Join(dir, "leaf.conf")
	text, err := os.ReadFile(conf)
	if err != nil {
		s.Fatal(err)
	}
	moved := strings.NewReplacer(`"/etc/nats/`, `"`+dir+"/", ":4222\"", fmt.Sprintf(":%d\"", port), ":7422\"", fmt.Sprintf(":%d\"", info.LeafNode.Port)).Replace(string(text))
	if err := os.WriteFile(conf, []byte(moved), 0o600); err != nil {
		s.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(conf)
	if err != nil {
		s.Fatal(err)
	}
	opts.NoSigs, opts.NoLog, opts.TLSTimeout, opts.AuthTimeout = true, true, 20, 20
	leaf, err := server.NewServer(opts)
	if err != nil {
		s.Fatal(err)
	}
	leaf.Start()
	s.Cleanup(func() { leaf.Shutdown(); leaf.WaitForShutdown() })
	s.awaitView("the leaf node is connected to the hub", func() bool { return leaf.NumLeafNodes() == 1 })
	return "tls://" + net.JoinHostPort("127.0.0.1", fmt.Sprint(port))
}

// startNodeAt runs a node of a cluster, and its agent, with the settings that were written for it, at a server.
func (s *stage) startNodeAt(url, name string) {
	s.Helper()
	cfg := s.nodeSettings(name)
	loaded, err := config.Load(s.path("leaves/branch/pulse.d/nats_leaf.conf"))
	if err != nil || loaded.NATS.ServerURL != "tls://127.0.0.1:4222" {
		s.Fatal(loaded, err)
	}
	cfg.NATS.ServerURL, cfg.NATS.JetStreamDomain, cfg.Cluster.Enabled = url, loaded.NATS.JetStreamDomain, true
	log := new(journal)
	s.runNode(cfg, log)
	s.Cleanup(func() {
		if s.Failed() {
			s.Logf("%s:\n%s", name, log)
		}
	})
}

func TestANodeAtALeafNodeOfASetupDoesAllThatOneAtTheServerDoes(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *provision.Config) { c.Leaves, c.Cluster, c.OCSF = []string{"branch"}, "main", "ocsf.wazuh" })
	at := s.startLeaf("branch")
	s.startNodeAt(at, "node01")
	s.startNode("node02", t.TempDir())
	nc, js := s.reader("xdr")
	for stream, subject := range map[string]string{"STATUS": "wazuh.xdr.agent.001.status_change", "TELEMETRY": "wazuh.xdr.manager.status.node01",
		"KV_PULSE_AGENTS": "$KV.PULSE_AGENTS.001", "OCSF": "ocsf.wazuh.node01.agent.001"} {
		s.awaitMessage(js, stream, subject)
	}
	for _, name := range []string{"node01", "node02"} {
		s.awaitView(name+" knows both nodes", func() bool {
			m, err := nc.RequestWithContext(patient(t), "pulse."+name+".nodes", nil)
			var answer struct {
				Nodes []struct{ Name, State string } `json:"nodes"`
			}
			return err == nil && json.Unmarshal(m.Data, &answer) == nil && len(answer.Nodes) == 2
		})
	}
	s.verifier("node01") // its keys are there
	admin := s.admin()
	s.awaitView("the last will of the node is there", func() bool {
		will, err := admin.Stream(patient(t), lastwill.StreamName("node01"))
		return err == nil && will.CachedInfo().State.Msgs > 0
	})
	if m, err := nc.RequestWithContext(patient(t), "$SRV.PING.pulse", nil); err != nil || !json.Valid(m.Data) {
		t.Errorf("discovery: %v", err)
	}
	s.nothingRefused(nc)

	s.leafURL = at
	node, _ := s.node("node01")
	for _, subject := range []string{"wazuh.xdr.manager.status.node02", "$JS.hub.API.$KV.PULSE_KEYS.node02", "$JS.hub.API.$KV.PULSE_CLUSTER.node02.001", "$PULSE.WILL.node02",
		"$JS.hub.API.STREAM.DELETE.STATUS", "$JS.hub.API.CONSUMER.CREATE.STATUS", "$JS.hub.API.STREAM.PURGE.KV_PULSE_AGENTS", "ocsf.wazuh.node02.node"} {
		if err := node.Publish(subject, []byte("x")); err != nil {
			t.Fatal(err)
		}
		s.mayNot(subject)
	}
	if _, err := s.dial("leaves/branch/leaf.creds"); err == nil {
		t.Error("a client logs in as the leaf node")
	}
	s.leafURL = ""
	if _, err := s.dial("leaves/branch/leaf.creds"); err == nil {
		t.Error("a client logs in as the leaf node at the server")
	}
}

func decodeCreds(t *testing.T, text []byte) *jwt.UserClaims {
	t.Helper()
	token, err := jwt.ParseDecoratedJWT(text)
	if err != nil {
		t.Fatal(err)
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// A leaf node is trusted with what all nodes may do, and with no more.
func TestALeafNodeMayNoMoreThanAllNodes(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(c *provision.Config) { c.Leaves, c.Cluster = []string{"branch"}, "main" })
	text, err := os.ReadFile(s.path("leaves/branch/leaf.creds"))
	if err != nil {
		t.Fatal(err)
	}
	claims := decodeCreds(t, text)
	if !slices.Equal(claims.AllowedConnectionTypes, []string{jwt.ConnectionTypeLeafnode}) {
		t.Errorf("it may log in as %v", claims.AllowedConnectionTypes)
	}
	for _, subject := range claims.Pub.Allow {
		for _, much := range []string{"$JS.API.", "$JS.hub.API.STREAM.CREATE", "$JS.hub.API.CONSUMER", "$JS.hub.API.>", "$KV.", "$SYS", ">"} {
			if strings.HasPrefix(subject, much) {
				t.Errorf("it may publish on %s", subject)
			}
		}
	}
	accounts, err := os.ReadFile(s.path("leaves/branch/accounts.conf"))
	if err != nil {
		t.Fatal(err)
	}
	st := s.open()
	if _, err := st.Change(provision.Change{Revoke: []string{"node02"}}); err != nil {
		t.Fatal(err)
	}
	if again, err := os.ReadFile(s.path("leaves/branch/accounts.conf")); err != nil || bytes.Equal(again, accounts) {
		t.Errorf("a revoked login can still be used at the leaf node: %v", err)
	}
}

func TestALeafNodeIsAddedToASetupThatIsThere(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	st := s.open()
	done, err := st.Change(provision.Change{Leaves: []string{"branch"}, Renew: []string{"node01"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"accounts.conf", "leaf.conf", "leaf.creds", "leaf.crt", "leaf.key", "ca.crt", "pulse.d/nats_leaf.conf"} {
		if !slices.Contains(done.Written, "leaves/branch/"+name) {
			t.Errorf("%s is not written", name)
		}
	}
	for name, want := range map[string]bool{"node01": true, "node02": false} { // that one has its former rights
		text, err := os.ReadFile(s.path("nodes/" + name + "/pulse-nats.creds"))
		if err != nil {
			t.Fatal(err)
		}
		if claims := decodeCreds(t, text); claims.Pub.Allow.Contains("$JS.hub.API.INFO") != want || !claims.Pub.Allow.Contains("$JS.API.INFO") {
			t.Errorf("%s may publish on %q", name, claims.Pub.Allow)
		}
	}
	if _, err := st.Change(provision.Change{Leaves: []string{"branch"}}); err == nil || !strings.Contains(err.Error(), "exists already") {
		t.Errorf("a second one of the name: %v", err)
	}
	if _, err := st.Change(provision.Change{Revoke: []string{"branch"}}); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.path("leaves/branch")); !os.IsNotExist(err) {
		t.Errorf("the files of a revoked leaf node: %v", err)
	}
}
