package attach

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// The rows of a manager of Wazuh 5 are read by pages whether it has wdb-http.sock or not, and
// nothing is ever asked there: its list has no Wazuh groups, cannot be asked for what changed,
// and has no bound.
func TestAgentsOfWazuh5AreReadByPagesWithAndWithoutItsHTTPSocket(t *testing.T) {
	const agents = 1000 // more than fit into an answer
	var keys strings.Builder
	for id := range agents {
		fmt.Fprintf(&keys, "%d agent-%d any %064d\n", 1024+id, id, id+1)
	}
	set, _, err := clientkeys.Parse(strings.NewReader(keys.String()))
	if err != nil {
		t.Fatal(err)
	}
	var read [2][]wazuhdb.Row
	for i, without := range []bool{false, true} {
		home, err := os.MkdirTemp("", "wz")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(home) })
		m, err := managersim.Start(managersim.Config{Home: home, Keys: set.Keys(), Version: "v5.0.0", Wazuh5: managersim.Wazuh5{NoHTTP: without, Age: time.Hour}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = m.Close() })
		fleet, clock := &membersFleet{read: make(chan int, 10)}, detector.NewClock()
		link, err := Open(Config{Home: home, Cluster: master5, Method: detector.Request, MaxInFlight: 10, Grace: time.Second, Timeout: time.Minute,
			UpdateStatus: true, Clock: clock, Fleet: fleet, Log: newTestLog(new(logRecorder))})
		if err != nil {
			t.Fatal(err)
		}
		runUntilRead(t, link, fleet, agents)
		db := wazuhdb.NewClient(wazuhsock.Home(home), master5, patience)
		rows, skipped, err := db.ReadAgents(t.Context())
		if err != nil || len(rows) != agents || len(skipped) > 0 {
			t.Errorf("without the socket %v: %d rows, %v, %v", without, len(rows), skipped, err)
		}
		read[i] = rows
		if traffic := db.CountTraffic(); traffic.Statements < 5 || traffic.BytesIn <= wazuhsock.MaxFrame {
			t.Errorf("%+v: too little for pages", traffic)
		}
		db.Close()
		if s := m.Stats(); s.HTTPQueries > 0 {
			t.Errorf("%d questions to wdb-http.sock", s.HTTPQueries)
		}
	}
	if diff := cmp.Diff(read[0], read[1], cmp.Comparer(func(a, b wazuhdb.Row) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
}

// membersFleet is a detector that only counts its members.
type membersFleet struct {
	fakeFleet
	read chan int
}

func (f *membersFleet) SetMembers(list []detector.Member) { f.read <- len(list) }

// runUntilRead runs a link until it has read all agents.
func runUntilRead(t *testing.T, link *Link, fleet *membersFleet, want int) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() { link.Run(ctx) })
	select {
	case n := <-fleet.read:
		if n != want {
			t.Errorf("%d agents, want %d", n, want)
		}
	case <-time.After(patience):
		t.Error("the agents were not read")
	}
}

// As recorded, the list of wdb-http.sock has no Wazuh groups, and no way to ask for less.
func TestTheHTTPListOfWazuh5HasNoGroups(t *testing.T) {
	f, err := os.Open("../managersim/testdata/wazuh5/wdb-http.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lists := make(map[string]string)
	in := bufio.NewScanner(f)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		var line struct{ Request, Body string }
		if err := json.Unmarshal(in.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line.Request, "GET /v1/agents/all") {
			lists[line.Request] = line.Body
		}
	}
	all, some := lists["GET /v1/agents/all"], lists["GET /v1/agents/all?status=active"]
	if !strings.Contains(all, `"lastKeepAlive"`) || strings.Contains(all, "group") || all != some {
		t.Errorf("%.300s\n%.300s", all, some)
	}
}
