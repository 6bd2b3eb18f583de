package roster

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/remote"
)

func TestABucketThatIsDeletedIsMadeAndWrittenAnew(t *testing.T) {
	x := newXDR(t)
	n := newNode(t, "node01", x.url()).startRoster()
	js := connectClient(t, x.url())
	n.publishChanges(activeChange("001", 100), lostChange("002", 101, 90), activeChange("003", 102))
	for range 2 { // nobody's status changes meanwhile: it looks by itself
		for id, when := range map[string]int64{"001": 100, "002": 101, "003": 102} {
			waitForAgent(t, js, id, hasSince(when))
		}
		if err := js.DeleteKeyValue(testContext(t), event.AgentsBucket); err != nil {
			t.Fatal(err)
		}
	}
	n.publishChanges(activeChange("002", 110)) // and when it cannot write
	for id, when := range map[string]int64{"001": 100, "002": 110, "003": 102} {
		waitForAgent(t, js, id, hasSince(when))
	}
}

func TestABucketLostFromTheEmbeddedServerIsWrittenAnew(t *testing.T) {
	n := newNode(t, "node01", "").startRoster()
	n.publishChanges(activeChange("001", 100), lostChange("002", 101, 90))
	waitForAgent(t, connectClient(t, n.out.URL()), "002", hasSince(101))
	n.stopRoster()
	n.mustSucceed(n.out.Close())
	n.mustSucceed(os.RemoveAll(filepath.Join(n.outDir, "jetstream", "$G", "streams", stream)))
	n.openOutbox("127.0.0.1:0")
	n.startRoster()
	js := connectClient(t, n.out.URL())
	waitForAgent(t, js, "001", hasSince(100))
	waitForAgent(t, js, "002", hasSince(101))
}

func TestABucketReplacedBehindItsBackIsNoticed(t *testing.T) {
	x := newXDR(t)
	n := newNode(t, "node01", x.url()).startRoster()
	js := connectClient(t, x.url())
	n.publishChanges(activeChange("001", 100), activeChange("002", 100))
	waitForAgent(t, js, "001", hasSince(100))
	waitForAgent(t, js, "002", hasSince(100))
	if err := js.DeleteKeyValue(testContext(t), event.AgentsBucket); err != nil {
		t.Fatal(err)
	}
	ctx, anew := testContext(t), jetstream.KeyValueConfig{Bucket: event.AgentsBucket}
	_, err := js.CreateOrUpdateKeyValue(ctx, anew)
	for err != nil && ctx.Err() == nil { // the node may make it in the same moment, and then the server refuses one of the two
		_, err = js.CreateOrUpdateKeyValue(ctx, anew)
	}
	if err != nil {
		t.Fatal(err)
	}
	n.publishChanges(activeChange("002", 110))
	waitForAgent(t, js, "001", hasSince(100))
	waitForAgent(t, js, "002", hasSince(110))
}

// A server that loses power may lose what it acknowledged last.
func TestABucketThatLostItsEndIsWrittenAnew(t *testing.T) {
	x := newXDR(t)
	js := connectClient(t, x.url())
	bareStream(t, js)
	n := newNode(t, "node01", x.url())
	n.quick.checkPeriod = patience
	n.startRoster()
	n.publishChanges(activeChange("001", 100))
	waitForAgent(t, js, "001", hasSince(100))
	n.publishChanges(lostChange("001", 110, 105))
	waitForAgent(t, js, "001", hasSince(110))
	n.stopRoster()
	s, err := js.Stream(testContext(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Purge(testContext(t), jetstream.WithPurgeSubject(keys+"001")); err != nil {
		t.Fatal(err)
	}
	n.startRoster()
	waitForAgent(t, js, "001", hasSince(110))
}

// withProvisionedUsers are the rights that a node's user has on an XDR's server.
func withProvisionedUsers(o *server.Options) {
	o.Users = []*server.User{
		{Username: "admin", Password: "admin"},
		{Username: "node", Password: "node", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"wazuh.xdr.>", "$JS.API.STREAM.LIST", keys + "*",
				"$JS.API.STREAM.INFO." + stream, "$JS.API.DIRECT.GET." + stream + ".>"}},
			Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.node01.>"}},
		}},
	}
}

// loginAsNode logs in as the node's user.
func loginAsNode(t *testing.T) func(*remote.Config) {
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("node\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return func(cfg *remote.Config) { cfg.User, cfg.PasswordFile = "node", file }
}

func TestAUserWhoMayNotMakeTheBucketSaysSoAndWaitsForIt(t *testing.T) {
	x := newXDR(t, withProvisionedUsers)
	n := newNode(t, "node01", x.url(), loginAsNode(t))
	n.quick.answerTimeout = 500 * time.Millisecond
	n.startRoster()
	n.publishChanges(activeChange("001", 100))
	n.log.WaitForLine(t, "its bucket is not there, and cannot be made")
	n.log.WaitForLine(t, "may not publish to")
	if s := n.roster.Stats(); s.Kept || s.Written > 0 {
		t.Errorf("%+v", s)
	}
	js := connectClient(t, x.url(), nats.UserInfo("admin", "admin"))
	if _, err := js.CreateKeyValue(testContext(t), jetstream.KeyValueConfig{Bucket: event.AgentsBucket, History: 1}); err != nil {
		t.Fatal(err)
	}
	waitForAgent(t, js, "001", hasSince(100))
	n.log.WaitForLine(t, "is kept again")
	n.publishChanges(lostChange("001", 110, 105))
	waitForAgent(t, js, "001", hasSince(110))
	if said := strings.Count(n.log.String(), "cannot be made"); said != 1 {
		t.Errorf("said %d times:\n%s", said, n.log)
	}
}

func TestAUserWhoMayNotWriteSaysSo(t *testing.T) {
	x := newXDR(t, func(o *server.Options) {
		withProvisionedUsers(o)
		o.Users[1].Permissions.Publish.Deny = []string{keys + ">"}
	})
	js := connectClient(t, x.url(), nats.UserInfo("admin", "admin"))
	if _, err := js.CreateKeyValue(testContext(t), jetstream.KeyValueConfig{Bucket: event.AgentsBucket, History: 1}); err != nil {
		t.Fatal(err)
	}
	n := newNode(t, "node01", x.url(), loginAsNode(t))
	n.quick.answerTimeout = 500 * time.Millisecond
	n.startRoster()
	n.publishChanges(activeChange("001", 100))
	n.log.WaitForLine(t, "cannot keep the roster of agents")
	n.log.WaitForLine(t, "may not publish to")
	if _, revision := readAgent(t, js, "001"); revision > 0 || n.roster.Stats().Kept {
		t.Errorf("revision %d, %+v", revision, n.roster.Stats())
	}
	n.publishChanges(activeChange("002", 100))
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	tries := n.remote.State().Errors
	for ctx := testContext(t); n.roster.Stats().Failures < 3; {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%d failures", n.roster.Stats().Failures)
		}
	}
	if said := strings.Count(n.log.String(), "cannot keep"); said != 1 || strings.Contains(n.log.String(), "kept again") || n.remote.State().Errors != tries {
		t.Errorf("said %d times:\n%s", said, n.log)
	}
}

func TestWithoutJetStreamThereIsNoRosterUntilThereIs(t *testing.T) {
	x := newXDR(t, func(o *server.Options) { o.JetStream = false })
	n := newNode(t, "node01", x.url()).startRoster()
	n.publishChanges(activeChange("001", 100))
	n.log.WaitForLine(t, "the NATS server has no JetStream")
	x.stopServer()
	x.opts.JetStream = true
	x.startServer()
	waitForAgent(t, connectClient(t, x.url()), "001", hasSince(100))
	if said := strings.Count(n.log.String(), "has no JetStream"); said != 1 || strings.Contains(n.log.String(), "level=WARN") {
		t.Errorf("said %d times:\n%s", said, n.log)
	}
}

// The server goes and comes back, and the node's roster is closed and opened, at
// random moments while agents change: in the end the bucket holds the last state of each.
func TestThroughAllWeather(t *testing.T) {
	const agents, changes = 300, 3000
	rounds := 8
	if testing.Short() {
		rounds = 2
	}
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	random := rand.New(rand.NewPCG(seed, 0))
	x := newXDR(t)
	n := newNode(t, "node01", x.url()).startRoster()
	last := make(map[string]int64)
	when := int64(1000)
	for range rounds {
		for left := changes; left > 0; {
			var some []event.StatusChange
			for range min(left, 1+random.IntN(200)) {
				id := fmt.Sprintf("%03d", random.IntN(agents))
				when++
				last[id] = when
				some = append(some, activeChange(id, when))
			}
			left -= len(some)
			n.publishChanges(some...)
			switch random.IntN(40) {
			case 0:
				x.stopServer()
				x.startServer()
			case 1:
				n.stopRoster()
				n.startRoster()
			case 2:
				n.stopRoster()
				x.stopServer()
				n.startRoster()
				x.startServer()
			}
		}
		js := connectClient(t, x.url())
		for id, at := range last {
			waitForAgent(t, js, id, hasSince(at))
		}
	}
	t.Logf("%d rounds with %d changes each", rounds, changes)
}
