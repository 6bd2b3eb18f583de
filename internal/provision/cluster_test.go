package provision_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/cluster"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/provision"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/seal"
)

func inCluster(cfg *provision.Config) { cfg.Cluster = "main" }

func TestANodeOfAClusterWritesItsOwnKeysOnly(t *testing.T) {
	t.Parallel()
	s := newStage(t, inCluster)
	nc, js := s.node("node01")
	for _, subject := range []string{"$KV.PULSE_CLUSTER.node01.001", "$KV.PULSE_CLUSTER.node01.node", "$KV.PULSE_CLUSTER.node01.lost.node02"} {
		s.tell(js, subject, "x")
	}
	hints, err := nc.SubscribeSync("pulse.*.cluster")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("pulse.node01.cluster", []byte("12345678")); err != nil {
		t.Fatal(err)
	}
	s.nothingRefused(nc)
	if m, err := hints.NextMsgWithContext(patient(t)); err != nil || m.Subject != "pulse.node01.cluster" {
		t.Errorf("%v, %v", m, err)
	}
	if records := s.readCluster(nc); records != 3 {
		t.Errorf("%d records are read, want 3", records)
	}
	for _, subject := range []string{"$KV.PULSE_CLUSTER.node02.001", "$KV.PULSE_CLUSTER.node02.node", "$KV.PULSE_CLUSTER.lost.node01", "pulse.node02.cluster",
		"$JS.API.STREAM.PURGE.KV_PULSE_CLUSTER", "$JS.API.STREAM.UPDATE.KV_PULSE_CLUSTER", "$JS.API.STREAM.DELETE.KV_PULSE_CLUSTER", "$JS.API.STREAM.MSG.DELETE.KV_PULSE_CLUSTER",
		"$JS.API.CONSUMER.CREATE.KV_PULSE_CLUSTER", "$JS.API.STREAM.MSG.GET.KV_PULSE_CLUSTER"} {
		if err := nc.Publish(subject, []byte("x")); err != nil {
			t.Fatal(err)
		}
		s.mayNot(subject)
	}
	// What a node has the server answer goes to no key, of its own or of another node.
	if err := nc.PublishRequest("$JS.API.DIRECT.GET.KV_PULSE_CLUSTER", "$KV.PULSE_CLUSTER.node02.001", []byte(`{"seq":1,"batch":10}`)); err != nil {
		t.Fatal(err)
	}
	for _, rollup := range []string{jetstream.MsgRollupAll, jetstream.MsgRollupSubject} {
		m := nats.NewMsg("$KV.PULSE_CLUSTER.node01.001")
		m.Header.Set(jetstream.MsgRollup, rollup)
		if _, err := js.PublishMsg(patient(t), m, jetstream.WithRetryAttempts(0)); err == nil || !strings.Contains(err.Error(), "rollup not permitted") {
			t.Errorf("%s: %v", rollup, err)
		}
	}
	if records := s.readCluster(nc); records != 3 {
		t.Errorf("%d records are left, want 3", records)
	}
	reader, _ := s.reader("xdr")
	for _, subject := range []string{"$KV.PULSE_CLUSTER.node01.001", "$JS.API.DIRECT.GET.KV_PULSE_CLUSTER", "pulse.node01.cluster"} {
		if err := reader.Publish(subject, []byte("x")); err != nil {
			t.Fatal(err)
		}
		s.mayNot(subject)
	}
}

// A reader asks one node of a cluster for all of them.
func TestANodeOfAClusterAnswersWhichNodesThereAre(t *testing.T) {
	t.Parallel()
	s := newStage(t, inCluster)
	nc, _ := s.node("node01")
	for _, subject := range []string{"pulse.nodes", "pulse.node01.nodes"} {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) { _ = m.Respond([]byte("here")) }); err != nil {
			t.Fatal(err)
		}
	}
	s.nothingRefused(nc)
	reader, _ := s.reader("xdr")
	for _, subject := range []string{"pulse.nodes", "pulse.node01.nodes"} {
		if m, err := reader.RequestWithContext(patient(t), subject, nil); err != nil || string(m.Data) != "here" {
			t.Errorf("%s: %+v, %v", subject, m, err)
		}
	}
	if _, err := nc.SubscribeSync("pulse.node02.nodes"); err != nil {
		t.Fatal(err)
	}
	s.mayNot("pulse.node02.nodes")
}

// readCluster returns how many records of the cluster's bucket a node reads with one request.
func (s *stage) readCluster(nc *nats.Conn) (records int) {
	s.Helper()
	answers, err := nc.SubscribeSync(nc.NewInbox())
	if err == nil {
		err = nc.PublishRequest("$JS.API.DIRECT.GET.KV_PULSE_CLUSTER", answers.Subject, []byte(`{"seq":1,"batch":100}`))
	}
	if err != nil {
		s.Fatal(err)
	}
	for {
		m, err := answers.NextMsgWithContext(patient(s))
		if err != nil {
			s.Fatal(err)
		}
		if m.Header.Get("Status") != "" {
			return records
		}
		records++
	}
}

// With the credentials that were written for them, two nodes have the shared view.
func TestNodesOfAClusterNeedNoMoreRightsThanTheyHave(t *testing.T) {
	t.Parallel()
	s := newStage(t, inCluster)
	one, two := s.openView("node01"), s.openView("node02")
	one.Claim(ownership.Sighting{Agent: 7, Since: 1, Sign: 1})
	s.awaitView("the other node has the agent", func() bool { o, ok := two.Owner(7); return ok && o.Node == "node01" })
	two.Claim(ownership.Sighting{Agent: 7, Since: 2, Sign: 2})
	s.awaitView("the agent has moved", func() bool { o, ok := one.Elsewhere(7); return ok && o.Node == "node02" })
	for _, v := range []*cluster.View{one, two} {
		if status := v.Status(); status.CutOff || status.Refused > 0 || status.Failed > 0 {
			t.Errorf("%+v", status)
		}
	}
}

func (s *stage) openView(name string) *cluster.View {
	s.Helper()
	key, err := seal.GenerateKey(seal.Signing)
	if err != nil {
		s.Fatal(err)
	}
	key.Node = name
	sign, err := seal.NewSigner(key)
	if err != nil {
		s.Fatal(err)
	}
	public, err := seal.MarshalKeys(key.Public())
	if err != nil {
		s.Fatal(err)
	}
	_, js := s.node(name)
	s.tell(js, "$KV.PULSE_KEYS."+name, string(public))
	log := slog.New(slog.DiscardHandler)
	way, err := remote.Open(remote.Config{URL: s.url(), Node: name, CredentialsFile: s.path("nodes/" + name + "/pulse-nats.creds"), CA: s.path("server/ca.crt"), Timeout: patience, Log: log})
	if err != nil {
		s.Fatal(err)
	}
	v, err := cluster.Open(cluster.Config{Node: name, Epoch: 1, Started: time.Now(), Version: "1", Remote: way, Signer: sign, Log: log})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { v.Close(); way.Close() })
	return v
}

func (s *stage) awaitView(what string, holds func() bool) {
	s.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	for deadline := patient(s); !holds(); {
		select {
		case <-look.C:
		case <-deadline.Done():
			s.Fatalf("never: %s", what)
		}
	}
}

// A setup that is there becomes one of a cluster; its nodes have the rights when renewed.
func TestAnExistingSetupBecomesOneOfACluster(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	nc, _ := s.node("node01")
	if err := nc.Publish("$KV.PULSE_CLUSTER.node01.001", []byte("x")); err != nil {
		t.Fatal(err)
	}
	s.mayNot("$KV.PULSE_CLUSTER.node01.001")
	st := s.open()
	if _, err := st.Change(provision.Change{Cluster: "no.name"}); err == nil || !strings.Contains(err.Error(), `cluster "no.name"`) {
		t.Errorf("a bad name: %v", err)
	}
	if _, err := st.Change(provision.Change{Cluster: "main", Renew: []string{"node01"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Change(provision.Change{Cluster: "other"}); err == nil || !strings.Contains(err.Error(), "cluster main") {
		t.Errorf("another cluster: %v", err)
	}
	s.reload()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := st.Apply(ctx, ""); err != nil {
		t.Fatal(err)
	}
	_, js := s.node("node01")
	s.tell(js, "$KV.PULSE_CLUSTER.node01.001", "x")
	text, err := os.ReadFile(s.path("provision.json"))
	var state struct{ Cluster string }
	if err == nil {
		err = json.Unmarshal(text, &state)
	}
	if err != nil || state.Cluster != "main" {
		t.Errorf("%+v, %v", state, err)
	}
}
