package provision_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/provision"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

func dialNode(t *testing.T, cfg *config.Config) *remote.Session {
	t.Helper()
	session, err := remote.Dial(patient(t), daemon.RemoteConfig(cfg, nil))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(session.Conn.Close)
	return session
}

// What doctor tries is what a node does, and leaves nothing behind.
func TestATrialOfAProvisionedNodesRightsFindsThemCompleteAndStoresNothing(t *testing.T) {
	for _, cluster := range []string{"", "main"} {
		s := newStage(t, func(c *provision.Config) { c.Cluster = cluster })
		cfg := s.nodeSettings("node01")
		cfg.Cluster.Enabled = cluster != ""
		session := dialNode(t, cfg)
		rights, err := daemon.TryRights(patient(t), cfg, session)
		if err != nil {
			t.Fatal(err)
		}
		var tried []string
		for _, r := range rights {
			tried = append(tried, r.What)
			if r.Err != nil {
				t.Errorf("cannot %s: %v", r.What, r.Err)
			}
		}
		for _, want := range []string{"receive answers", "publish wazuh.xdr.manager.status.node01", "publish wazuh.xdr.agent.000.status_change", "write the bucket PULSE_AGENTS", "write the bucket PULSE_KEYS"} {
			if !slices.Contains(tried, want) {
				t.Errorf("not tried: %s", want)
			}
		}
		if slices.Contains(tried, "write the bucket PULSE_CLUSTER") != (cluster != "") {
			t.Errorf("cluster %q: %q", cluster, tried)
		}
		_, js := s.reader("xdr")
		for _, name := range []string{"STATUS", "TELEMETRY", "KV_PULSE_AGENTS", "KV_PULSE_KEYS"} {
			stream, err := js.Stream(patient(t), name)
			if err != nil {
				t.Fatal(err)
			}
			if n := stream.CachedInfo().State.Msgs; n > 0 {
				t.Errorf("%s has %d messages of the trial", name, n)
			}
		}
		other := s.nodeSettings("node02")
		other.Pulse.NodeName = "node01"
		session = dialNode(t, other)
		rights, err = daemon.TryRights(patient(t), other, session)
		if err != nil || rights[0].Err == nil || session.User() != "node02" || !daemon.IsLoginOf(patient(t), other, session, session.User()) {
			t.Errorf("the login of another node: %+v, %v, %s", rights, err, session.User())
		}
	}
}

// A node that logs in as another one is unhealthy before its first heartbeat would be missed.
func TestANodeWithTheLoginOfAnotherIsUnhealthyWithinOneHeartbeat(t *testing.T) {
	s := newStage(t)
	cfg := s.nodeSettings("node02")
	cfg.Pulse.NodeName = "node01"
	node, err := daemon.Open(patient(t), cfg, "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	ctx, stop := context.WithCancel(context.Background())
	defer running.Wait()
	defer stop()
	began := time.Now()
	running.Go(func() {
		if err := node.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := patient(t); ; {
		if h := node.Status().Health; slices.ContainsFunc(h.Failures, func(text string) bool {
			return strings.HasPrefix(text, "the login is that of node02, and this node is called node01: the NATS server does not let this node ")
		}) {
			break
		}
		select {
		case <-look.C:
		case <-deadline.Done():
			t.Fatalf("%+v", node.Status().Health)
		}
	}
	if took := time.Since(began); took > event.HeartbeatInterval {
		t.Errorf("it took %v", took)
	}
}

// A user who may not make the buckets has to find them.
func TestATrialNamesABucketThatIsMissing(t *testing.T) {
	s := newStage(t)
	st := s.open()
	defer st.Close()
	admin, err := remote.Dial(patient(t), st.RemoteConfig(""))
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Conn.Close()
	js, err := jetstream.New(admin.Conn, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(patient(t), "KV_PULSE_AGENTS"); err != nil {
		t.Fatal(err)
	}
	cfg := s.nodeSettings("node01")
	rights, err := daemon.TryRights(patient(t), cfg, dialNode(t, cfg))
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rights {
		if missing := r.What == "write the bucket PULSE_AGENTS"; missing != (r.Err != nil) || r.Optional {
			t.Errorf("%+v", r)
		}
	}
}
