package roster

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/schema"
)

const (
	stream = "KV_" + event.AgentsBucket
	keys   = "$KV." + event.AgentsBucket + "."
)

func TestTheOutboxLetsItsClientsReadThisBucket(t *testing.T) {
	if stream != natsserver.RosterStream {
		t.Errorf("%s is not %s", natsserver.RosterStream, stream)
	}
}

func TestClientsOfTheEmbeddedServerReadThePresentStates(t *testing.T) {
	n := newNode(t, "node01", "").startRoster()
	n.publishChanges(activeChange("001", 100), lostChange("002", 90, 60), lostChange("001", 130, 110), activeChange("1000001", 120))
	js := connectClient(t, n.out.URL())
	waitForAgent(t, js, "1000001", hasSince(120))
	got := waitForAgent(t, js, "001", hasSince(130))
	want := &event.AgentState{AgentID: "001", AgentName: "agent-001", IPAddress: "10.0.0.1", Status: event.Disconnected, Since: 130, LastSeen: 110,
		Reason: event.MissedKeepAlives, Node: "node01", Epoch: 1, Sequence: 3}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(event.AgentState{}, "Updated")); diff != "" {
		t.Error(diff)
	}
	if age := time.Since(time.Unix(got.Updated, 0)); age < 0 || age > patience {
		t.Errorf("updated %s ago", age)
	}
	cons, err := js.OrderedConsumer(testContext(t), stream, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy})
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]bool)
	for len(all) < 3 {
		m, err := cons.Next(jetstream.FetchContext(testContext(t)))
		if err != nil {
			t.Fatal(err)
		}
		all[strings.TrimPrefix(m.Subject(), keys)] = true
		if err := checkSchema(t, m.Data()); err != nil {
			t.Errorf("%s: %v", m.Data(), err)
		}
	}
	if !all["001"] || !all["002"] || !all["1000001"] {
		t.Errorf("%v", all)
	}
	kv, err := js.KeyValue(testContext(t), event.AgentsBucket)
	if err != nil {
		t.Fatal(err)
	}
	status, err := kv.Status(testContext(t))
	if err != nil || status.History() != 1 {
		t.Errorf("%+v, %v", status, err)
	}
}

// checkSchema holds a value to its schema.
func checkSchema(t *testing.T, value []byte) error {
	t.Helper()
	f, err := schema.Files.Open("agent_state.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := jsonschema.UnmarshalJSON(f)
	if err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	if err := c.AddResource("mem:///agent_state", doc); err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(strings.NewReader(string(value)))
	if err != nil {
		t.Fatal(err)
	}
	return c.MustCompile("mem:///agent_state").Validate(v)
}

func TestARemovedAgentLeavesAMarker(t *testing.T) {
	x := newXDR(t)
	n := newNode(t, "node01", x.url()).startRoster()
	removed := lostChange("001", 130, 110)
	removed.Reason = event.AgentRemoved
	n.publishChanges(activeChange("001", 100), removed)
	js := connectClient(t, x.url())
	if got := waitForAgent(t, js, "001", hasSince(130)); !got.Removed || got.LastSeen != 110 || got.AgentName != "agent-001" {
		t.Errorf("%+v", got)
	}
	n.publishChanges(activeChange("001", 140)) // its ID is given to another
	if got := waitForAgent(t, js, "001", hasSince(140)); got.Removed {
		t.Errorf("%+v", got)
	}
}

// A storm of every agent's status, twice.
func TestAStormIsWritten(t *testing.T) {
	x := newXDR(t)
	n := newNode(t, "node01", x.url()).startRoster()
	js := connectClient(t, x.url())
	agents := 10_000
	if testing.Short() {
		agents = 1000
	}
	var down, up []event.StatusChange
	for i := range agents {
		id := fmt.Sprintf("%03d", i+1)
		down, up = append(down, lostChange(id, 100, 90)), append(up, activeChange(id, 200))
	}
	began := time.Now()
	n.publishChanges(down...)
	n.publishChanges(up...)
	watchAgents(t, js, agents, hasSince(200))
	t.Logf("%d status changes of %d agents: %s, %+v", 2*agents, agents, time.Since(began), n.roster.Stats())
	n.waitForStats(func(s Stats) bool { return s.Kept && s.Written >= uint64(agents) && s.Unreadable == 0 })
}

// watchAgents waits until the bucket holds n agents, and all of them fit.
func watchAgents(t *testing.T, js jetstream.JetStream, n int, fits func(*event.AgentState) bool) {
	t.Helper()
	kv, err := js.KeyValue(testContext(t), event.AgentsBucket)
	for ctx := testContext(t); err != nil; kv, err = js.KeyValue(ctx, event.AgentsBucket) {
		if ctx.Err() != nil {
			t.Fatal(err)
		}
	}
	w, err := kv.WatchAll(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = w.Stop() }()
	good := make(map[string]bool, n)
	for ctx := testContext(t); len(good) < n; {
		select {
		case e := <-w.Updates():
			if e == nil {
				continue
			}
			s, err := parseAgentState(e.Value())
			if err != nil || s.AgentID != e.Key() {
				t.Fatalf("%s: %s, %v", e.Key(), e.Value(), err)
			}
			if delete(good, e.Key()); fits(s) {
				good[e.Key()] = true
			}
		case <-ctx.Done():
			t.Fatalf("%d of %d", len(good), n)
		}
	}
}

func TestARestartGoesOnWhereItWas(t *testing.T) {
	x := newXDR(t)
	n := newNode(t, "node01", x.url()).startRoster()
	js := connectClient(t, x.url())
	n.publishChanges(activeChange("001", 100), activeChange("002", 101))
	waitForAgent(t, js, "001", hasSince(100))
	waitForAgent(t, js, "002", hasSince(101))
	_, revision := readAgent(t, js, "001")
	n.stopRoster()
	n.publishChanges(lostChange("002", 150, 120), activeChange("003", 151))
	n.startRoster()
	waitForAgent(t, js, "002", hasSince(150))
	waitForAgent(t, js, "003", hasSince(151))
	if _, now := readAgent(t, js, "001"); now != revision {
		t.Errorf("revision was %d, is %d", revision, now)
	}
	n.waitForStats(func(s Stats) bool { return s.Written == 2 && s.Outdated == 0 })
	if strings.Count(n.log.String(), "written anew") != 1 {
		t.Errorf("log:\n%s", n.log)
	}
}

// After a crash, what was written and not yet counted is read again.
func TestWhatIsReadTwiceChangesNothing(t *testing.T) {
	x := newXDR(t)
	n := newNode(t, "node01", x.url()).startRoster()
	js := connectClient(t, x.url())
	n.publishChanges(activeChange("001", 100), lostChange("002", 101, 90))
	waitForAgent(t, js, "002", hasSince(101))
	waitForAgent(t, js, "001", hasSince(100))
	old, err := os.ReadFile(n.roster.file)
	n.mustSucceed(err)
	n.publishChanges(lostChange("001", 110, 105))
	waitForAgent(t, js, "001", hasSince(110))
	n.stopRoster()
	_, revision := readAgent(t, js, "001")
	n.mustSucceed(os.WriteFile(filepath.Join(n.dir, "roster.json"), old, 0o600))
	n.mustSucceed(os.Remove(n.cursorText()))
	n.startRoster()
	n.publishChanges(activeChange("003", 120))
	waitForAgent(t, js, "003", hasSince(120))
	if got, now := readAgent(t, js, "001"); now != revision || got.Since != 110 {
		t.Errorf("%+v, revision %d, was %d", got, now, revision)
	}
	n.waitForStats(func(s Stats) bool { return s.Outdated == 2 && s.Written == 1 })
}

// cursorText is the file with the reader's position.
func (n *testNode) cursorText() string {
	n.Helper()
	return filepath.Join(n.outDir, "STATUS.roster.cursor")
}

func TestAnOlderStateNeverReplacesANewer(t *testing.T) {
	x := newXDR(t)
	js := connectClient(t, x.url())
	kv, err := js.CreateKeyValue(testContext(t), jetstream.KeyValueConfig{Bucket: event.AgentsBucket})
	if err != nil {
		t.Fatal(err)
	}
	put := func(s event.AgentState) {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := kv.Put(testContext(t), s.AgentID, data); err != nil {
			t.Fatal(err)
		}
	}
	put(event.AgentState{AgentID: "001", Node: "node01", Epoch: 1, Sequence: 1000, Since: 50})
	put(event.AgentState{AgentID: "002", Node: "node01", Epoch: 2, Sequence: 1, Since: 50})
	put(event.AgentState{AgentID: "003", Node: "node02", Epoch: 9, Sequence: 1, Since: 100})
	put(event.AgentState{AgentID: "004", Node: "node02", Epoch: 9, Sequence: 1, Since: 200})
	put(event.AgentState{AgentID: "005", Node: "node01", Epoch: 1, Since: 50})
	if _, err := kv.Put(testContext(t), "006", []byte("not one of ours")); err != nil {
		t.Fatal(err)
	}
	put(event.AgentState{AgentID: "007", Node: "node01", Epoch: 9, Sequence: 9})
	if err := kv.Delete(testContext(t), "007"); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, "node01", x.url()).startRoster()
	n.publishChanges(activeChange("001", 100), activeChange("002", 100), lostChange("003", 180, 90), activeChange("004", 100), activeChange("005", 100), activeChange("006", 100), activeChange("007", 100))
	for _, id := range []string{"005", "006", "007"} {
		waitForAgent(t, js, id, hasSince(100))
	}
	for id, want := range map[string]int64{"001": 50, "002": 50, "003": 100, "004": 200} {
		if got, _ := readAgent(t, js, id); got.Since != want {
			t.Errorf("%s: %+v", id, got)
		}
	}
	n.waitForStats(func(s Stats) bool { return s.Outdated == 4 && s.Written == 3 && s.Unreadable == 1 })
}

// Two nodes tell of the same agents at the same time: whoever is last to write,
// the later sign of life is there in the end.
func TestTwoNodesWriteOneBucket(t *testing.T) {
	x := newXDR(t)
	a, b := newNode(t, "a", x.url()).startRoster(), newNode(t, "b", x.url()).startRoster()
	js := connectClient(t, x.url())
	const agents, moves = 50, 20
	var fromA, fromB [][]event.StatusChange
	for m := range int64(moves) {
		var there, here []event.StatusChange
		for i := range agents {
			id := fmt.Sprintf("%03d", i+1)
			there = append(there, activeChange(id, 1000*m+100), lostChange(id, 1000*m+900, 1000*m+400))
			here = append(here, activeChange(id, 1000*m+500))
		}
		fromA, fromB = append(fromA, there), append(fromB, here)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, changes := range fromB {
			b.publishChanges(changes...)
		}
	}()
	for _, changes := range fromA {
		a.publishChanges(changes...)
	}
	<-done
	watchAgents(t, js, agents, func(s *event.AgentState) bool { return s.Node == "b" && s.Since == 1000*(moves-1)+500 })
	a.publishChanges(activeChange("998", 1)) // when these are there, each has had its say
	b.publishChanges(activeChange("997", 1))
	waitForAgent(t, js, "998", hasSince(1))
	waitForAgent(t, js, "997", hasSince(1))
	watchAgents(t, js, agents, func(s *event.AgentState) bool { return s.Node == "b" && s.Since == 1000*(moves-1)+500 })
}
