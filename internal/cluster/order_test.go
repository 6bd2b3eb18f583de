package cluster

import (
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/kv"
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
