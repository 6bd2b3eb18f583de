package roster

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/kv"
)

// bareStream makes the bucket as clients do: its values can be removed.
func bareStream(t *testing.T, js jetstream.JetStream) jetstream.Stream {
	t.Helper()
	if _, err := js.CreateStream(testContext(t), func() jetstream.StreamConfig {
		cfg := kv.StreamConfig(event.AgentsBucket, "", 1)
		cfg.AllowRollup, cfg.DenyDelete, cfg.DenyPurge = true, false, false
		return cfg
	}()); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(testContext(t), stream)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// rollUp publishes a message that removes all values, or those of its key.
func rollUp(t *testing.T, js jetstream.JetStream, what string) error {
	t.Helper()
	m := nats.NewMsg(keys + "900")
	m.Header.Set(jetstream.MsgRollup, what)
	_, err := js.PublishMsg(testContext(t), m, jetstream.WithRetryAttempts(0))
	return err
}

func TestTheBucketRefusesRollUpsAndPurges(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		before func(*testing.T, jetstream.JetStream)
	}{
		{"made by the node", func(*testing.T, jetstream.JetStream) {}},
		{"made by another client", func(t *testing.T, js jetstream.JetStream) { bareStream(t, js) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := newXDR(t)
			js := connectClient(t, x.url())
			tt.before(t, js)
			n := newNode(t, "node01", x.url()).startRoster()
			n.publishChanges(activeChange("001", 100), activeChange("002", 100))
			waitForAgent(t, js, "001", hasSince(100))
			waitForAgent(t, js, "002", hasSince(100))
			tick := time.NewTicker(5 * time.Millisecond)
			defer tick.Stop()
			var s jetstream.Stream
			for ctx := testContext(t); ; <-tick.C {
				var err error
				if s, err = js.Stream(ctx, stream); err != nil {
					t.Fatal(err)
				}
				if cfg := s.CachedInfo().Config; !cfg.AllowRollup && cfg.DenyDelete && cfg.DenyPurge {
					break
				}
			}
			for _, what := range []string{jetstream.MsgRollupAll, jetstream.MsgRollupSubject} {
				if err := rollUp(t, js, what); err == nil || !strings.Contains(err.Error(), "rollup not permitted") {
					t.Errorf("%s: %v", what, err)
				}
			}
			if err := s.Purge(testContext(t)); err == nil {
				t.Error("it was purged")
			}
			if err := s.DeleteMsg(testContext(t), 1); err == nil {
				t.Error("a value was deleted")
			}
			if info, err := s.Info(testContext(t)); err != nil || info.State.Msgs != 2 {
				t.Error(info, err)
			}
		})
	}
}

// Whoever has removed values of a node's agents, and however: they are back.
func TestStatesThatWereRemovedAreWrittenAgain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		remove func(*testing.T, jetstream.JetStream, jetstream.Stream)
		says   string
	}{
		{"all of the stream", func(t *testing.T, _ jetstream.JetStream, s jetstream.Stream) {
			if err := s.Purge(testContext(t)); err != nil {
				t.Fatal(err)
			}
		}, "missing=3"},
		{"one key, by its subject", func(t *testing.T, _ jetstream.JetStream, s jetstream.Stream) {
			if err := s.Purge(testContext(t), jetstream.WithPurgeSubject(keys+"002")); err != nil {
				t.Fatal(err)
			}
		}, "missing=1"},
		{"one message", func(t *testing.T, _ jetstream.JetStream, s jetstream.Stream) {
			if err := s.DeleteMsg(testContext(t), s.CachedInfo().State.FirstSeq); err != nil {
				t.Fatal(err)
			}
		}, "missing=1"},
		{"delete markers", func(t *testing.T, js jetstream.JetStream, _ jetstream.Stream) {
			store, err := js.KeyValue(testContext(t), event.AgentsBucket)
			if err != nil {
				t.Fatal(err)
			}
			for _, id := range []string{"001", "003"} {
				if err := store.Delete(testContext(t), id); err != nil {
					t.Fatal(err)
				}
			}
		}, "were deleted from the bucket"},
		{"a roll-up", func(t *testing.T, js jetstream.JetStream, _ jetstream.Stream) {
			if err := rollUp(t, js, jetstream.MsgRollupAll); err != nil {
				t.Fatal(err)
			}
		}, "missing=2"},
		{"an older value", func(t *testing.T, js jetstream.JetStream, _ jetstream.Stream) {
			if _, err := js.Publish(testContext(t), keys+"002", []byte(`{"agent_id":"002","status":0,"since":5,"node":"node02"}`)); err != nil {
				t.Fatal(err)
			}
		}, ""},
		{"something that is no value", func(t *testing.T, js jetstream.JetStream, _ jetstream.Stream) {
			if _, err := js.Publish(testContext(t), keys+"002", []byte("gone")); err != nil {
				t.Fatal(err)
			}
		}, "not understood"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			x := newXDR(t, withProvisionedUsers) // the node may not protect the bucket
			js := connectClient(t, x.url(), nats.UserInfo("admin", "admin"))
			bareStream(t, js)
			n := newNode(t, "node01", x.url(), loginAsNode(t))
			n.quick.answerTimeout = 100 * time.Millisecond
			n.startRoster()
			n.publishChanges(activeChange("001", 100), activeChange("002", 100), activeChange("003", 100))
			n.log.WaitForLine(t, "allows roll-ups")
			n.waitForStats(func(s Stats) bool { return s.Written == 3 })
			s, err := js.Stream(testContext(t), stream)
			if err != nil {
				t.Fatal(err)
			}
			tt.remove(t, js, s)
			for _, id := range []string{"001", "002", "003"} {
				waitForAgent(t, js, id, hasSince(100))
			}
			n.log.WaitForLine(t, tt.says)
		})
	}
}

// What other nodes write is no loss, and costs no write.
func TestWhatOtherNodesWriteIsLeftAlone(t *testing.T) {
	t.Parallel()
	x := newXDR(t)
	one, two := newNode(t, "node01", x.url()).startRoster(), newNode(t, "node02", x.url()).startRoster()
	js := connectClient(t, x.url())
	for i := range int64(3) {
		one.publishChanges(activeChange("001", 100+i), activeChange("002", 100+i))
		two.publishChanges(activeChange("003", 100+i), activeChange("004", 100+i))
		for _, id := range []string{"001", "002", "003", "004"} {
			waitForAgent(t, js, id, hasSince(100+i))
		}
	}
	for _, n := range []*testNode{one, two} {
		n.stopRoster()
		if said := n.log.String(); strings.Contains(said, "WARN") {
			t.Error(said)
		}
	}
	if s, err := js.Stream(testContext(t), stream); err != nil || s.CachedInfo().State.LastSeq != 12 {
		t.Errorf("%+v, %v", s.CachedInfo().State, err)
	}
}

// A restart finds its bucket as it left it, and looks at no agent again.
func TestARestartWritesNothingAgain(t *testing.T) {
	t.Parallel()
	x := newXDR(t)
	n := newNode(t, "node01", x.url()).startRoster()
	js := connectClient(t, x.url())
	n.publishChanges(activeChange("001", 100), activeChange("002", 100))
	n.waitForStats(func(s Stats) bool { return s.Written == 2 })
	n.stopRoster()
	before := n.log.String()
	n.startRoster()
	n.publishChanges(activeChange("003", 100))
	waitForAgent(t, js, "003", hasSince(100))
	checkpointContents := func() contents {
		return loadCheckpoint(filepath.Join(n.dir, "roster.json"), slog.New(slog.DiscardHandler)).contents
	}
	n.waitForStats(func(Stats) bool { return checkpointContents() == contents{3, 3} }) // which is written after the bucket
	n.stopRoster()
	if said := strings.TrimPrefix(n.log.String(), before); strings.Contains(said, "written anew") {
		t.Error(said)
	}
	if got := checkpointContents(); got != (contents{3, 3}) {
		t.Errorf("%+v", got)
	}
}

// One message by who may write keys must not stand for good in the place of a node's own.
func TestAValueOfTheFutureIsReplaced(t *testing.T) {
	t.Parallel()
	far := time.Now().Add(24 * time.Hour).Unix()
	for name, forged := range map[string]string{
		"this node's, of a later epoch":   `{"agent_id":"001","status":0,"since":100,"node":"node01","epoch":9223372036854775807,"sequence":1}`,
		"this node's, with a high number": `{"agent_id":"001","status":0,"since":100,"node":"node01","epoch":1,"sequence":9223372036854775807}`,
		"another's, alive tomorrow":       fmt.Sprintf(`{"agent_id":"001","status":0,"since":%d,"node":"node02","epoch":1,"sequence":1}`, far),
		"another's, seen tomorrow":        fmt.Sprintf(`{"agent_id":"001","status":1,"since":100,"last_seen":%d,"node":"node02","epoch":1,"sequence":1}`, far),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := newXDR(t)
			n := newNode(t, "node01", x.url())
			n.latest = func() (uint64, uint64) { return 1, 100 }
			n.startRoster()
			js := connectClient(t, x.url())
			n.publishChanges(activeChange("001", 200))
			waitForAgent(t, js, "001", hasSince(200))
			if _, err := js.Publish(testContext(t), keys+"001", []byte(forged)); err != nil {
				t.Fatal(err)
			}
			waitForAgent(t, js, "001", hasSince(200))
			n.log.WaitForLine(t, "is of the future")
		})
	}
}
