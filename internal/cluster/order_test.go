package cluster

import (
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/ownership"
)

// What was stated of an agent is kept where the bucket of the cluster is not.
func TestAStatementIsLaterThanThoseOfABucketThatIsGone(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	n := s.join("node01", patientBeats)
	if order := n.StatementOrder(1, true); order > 0 && !n.IsLoaded() {
		t.Errorf("order %d before anything was read", order)
	}
	n.claim(1)
	n.awaitOwner(1, "node01")
	before := n.StatementOrder(1, false)
	if before < uint64(time.Now().Add(-time.Hour).Unix())*ordersPerSecond || before > 1<<53 {
		t.Errorf("order %d", before)
	}
	created := s.stream().CachedInfo().Created
	s.await("a second has passed", func() bool { return time.Since(created) > time.Second })
	if err := s.js.DeleteStream(patient(t), stream); err != nil {
		t.Fatal(err)
	}
	s.makeStream(kv.ClusterStreamConfig())
	s.await("the claim is in the new bucket", func() bool { return s.stream().CachedInfo().State.Msgs >= 2 })
	s.await("the order is of the new bucket", func() bool { return n.StatementOrder(1, true) > before })
}

// Orders of messages are dated by their bucket: of those of one that was made before, none is
// later than anything in this one.
func TestTheOrdersOfTheRunBeforeAreThoseOfThisBucketOrNone(t *testing.T) {
	t.Parallel()
	made := time.Unix(1_700_000_000, 0)
	base := uint64(made.Unix()) * ordersPerSecond
	for name, c := range map[string]struct{ order, want uint64 }{
		"of this bucket":           {base + 7, 7},
		"its first":                {base, 0},
		"of a bucket before":       {base - 1_000_000 + 7, 0},
		"before anything was read": {1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			v := &View{created: made, member: ownership.NewMember("node01", 1, nil), restored: map[ownership.AgentID]uint64{1: c.order},
				cfg: Config{Restored: []ownership.Restored{{Agent: 1, Order: c.order}}}}
			v.member.Restore(v.cfg.Restored)
			if got := v.StatementOrder(1, true); got != max(base, c.order) {
				t.Errorf("before everything is read, a statement has order %d", got)
			}
			v.reconcileRestored()
			if got := v.member.StatementOrder(1, true); got != c.want {
				t.Errorf("order %d, want %d", got, c.want)
			}
			if got := v.StatementOrder(1, true); got != base+c.want {
				t.Errorf("a statement has order %d, want %d", got, base+c.want)
			}
			if v.cfg.Restored != nil || v.restored != nil {
				t.Error("they are kept")
			}
		})
	}
}
