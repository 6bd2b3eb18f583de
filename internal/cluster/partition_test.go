package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/ownership"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// joinOnPath is join with a connection that can be cut.
func (s *servers) joinOnPath(name string) (*testNode, *testsupport.Path) {
	s.t.Helper()
	way := testsupport.OpenPath(s.t, fmt.Sprintf("127.0.0.1:%d", s.opts[0].Port))
	key := newKey(s.t, name)
	s.publishKeys(name, key.Public())
	return s.joinAt("nats://"+way.Addr, name, key), way
}

func (n *testNode) awaitCutOff(want bool) {
	n.s.t.Helper()
	awaitCondition(n.s.t, fmt.Sprintf("%s is cut off: %v", n.name, want), func() bool {
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.cut) > 0 && n.cut[len(n.cut)-1] == want && n.Status().CutOff == want
	})
}

func TestANodeThatWasCutOffTakesNoAgentFromTheOneThatHasItNow(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	a := s.join("node01")
	b, way := s.joinOnPath("node02")
	for id := ownership.AgentID(1); id <= 3; id++ {
		b.claim(id)
		a.awaitOwner(id, "node02")
	}
	way.Close()
	b.awaitCutOff(true)
	a.awaitNode("node02", true)
	a.claim(1) // it has moved
	a.awaitOwner(1, "node01")
	b.claim(2) // it is still here
	b.Depart(3, ownership.Lost, 9)
	way.Open()
	b.awaitCutOff(false)
	a.awaitNode("node02", false)
	b.awaitOwner(1, "node01")
	a.awaitOwner(1, "node01")
	a.awaitOwner(2, "node02")
	a.awaitOwner(3, "")
	if o, ok := b.Elsewhere(1); !ok || o.Node != "node01" {
		t.Errorf("%+v, %v", o, ok)
	}
	b.awaitEvents(ownership.Returned, 1)
	b.claim(1) // it is back
	a.awaitOwner(1, "node02")
}

func TestAServerThatIsAwayMakesNoNodeLost(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	a, b := s.join("node01", patientBeats), s.join("node02", patientBeats)
	a.claim(1)
	b.awaitOwner(1, "node01")
	a.awaitNode("node02", false)
	s.stopServer(0)
	a.awaitCutOff(true)
	b.awaitCutOff(true)
	b.claim(2)
	s.startServer(0)
	a.awaitOwner(2, "node02")
	a.awaitCutOff(false)
	b.awaitCutOff(false)
	for _, n := range []*testNode{a, b} {
		if lost := n.found(ownership.NodeLost); len(lost) > 0 {
			t.Errorf("%s: %+v", n.name, lost)
		}
	}
}

func TestOneServerOfThreeMayDie(t *testing.T) {
	t.Parallel()
	s := startServers(t, 3)
	a, b := s.join("node01"), s.join("node02")
	a.claim(1)
	b.awaitOwner(1, "node01")
	leader := s.stream().CachedInfo().Cluster.Leader
	for i, o := range s.opts {
		if o.ServerName == leader {
			s.stopServer(i)
		}
	}
	a.claim(2)
	b.claim(1)
	b.awaitOwner(2, "node01")
	a.awaitOwner(1, "node02")
}

// Whoever administers the server may delete the bucket, or some of its records.
func TestWhatIsGoneFromTheBucketIsStoredAgain(t *testing.T) {
	t.Parallel()
	for name, remove := range map[string]func(t *testing.T, s *servers){
		"deleted": func(t *testing.T, s *servers) {
			if err := s.js.DeleteStream(patient(t), stream); err != nil {
				t.Fatal(err)
			}
		},
		"made anew": func(t *testing.T, s *servers) {
			if err := s.js.DeleteStream(patient(t), stream); err != nil {
				t.Fatal(err)
			}
			s.makeStream(kv.ClusterStreamConfig())
		},
		"some of it": func(t *testing.T, s *servers) {
			if err := s.stream().Purge(patient(t), jetstream.WithPurgeSubject(keyPrefix+"node01.002")); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startServers(t, 1)
			if err := s.js.DeleteStream(patient(t), stream); err != nil {
				t.Fatal(err)
			}
			cfg := kv.ClusterStreamConfig()
			cfg.DenyPurge = false // for the administrator's sake
			s.makeStream(cfg)
			a, b := s.join("node01"), s.join("node02")
			for id := ownership.AgentID(1); id <= 3; id++ {
				a.claim(id)
				b.awaitOwner(id, "node01")
			}
			before := s.stream().CachedInfo()
			remove(t, s)
			awaitCondition(t, "the bucket has the records again", func() bool {
				for _, key := range []string{"node01.001", "node01.002", "node01.003", "node01.node", "node02.node"} {
					st, err := s.js.Stream(patient(t), stream)
					if err != nil {
						return false
					}
					m, err := st.GetLastMsgForSubject(patient(t), keyPrefix+key)
					if err != nil || st.CachedInfo().Created.Equal(before.Created) && key == "node01.002" && m.Sequence <= before.State.LastSeq {
						return false
					}
				}
				return true
			})
			for id := ownership.AgentID(1); id <= 3; id++ {
				b.awaitOwner(id, "node01")
			}
			b.claim(2)
			a.awaitOwner(2, "node02")
		})
	}
}

func TestARecordThatIsRemovedAtOnceIsStoredAgain(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	if err := s.js.DeleteStream(patient(t), stream); err != nil {
		t.Fatal(err)
	}
	cfg := kv.ClusterStreamConfig()
	cfg.DenyPurge = false
	s.makeStream(cfg)
	a, b := s.join("node01"), s.join("node02")
	for id := ownership.AgentID(1); id <= 20; id++ {
		key := keyPrefix + "node01." + id.String()
		a.claim(id)
		s.await("the record is there", func() bool {
			_, err := s.stream().GetLastMsgForSubject(patient(t), key)
			return err == nil
		})
		if err := s.stream().Purge(patient(t), jetstream.WithPurgeSubject(key)); err != nil {
			t.Fatal(err)
		}
	}
	for id := ownership.AgentID(1); id <= 20; id++ {
		b.awaitOwner(id, "node01")
	}
}

func TestClaimsWaitForAServerWithoutTakingTime(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	a, way := s.joinOnPath("node01")
	b := s.join("node02")
	a.claim(1)
	b.awaitOwner(1, "node01")
	way.Close()
	started := time.Now()
	for round := range 20 {
		for id := range ownership.AgentID(1000) {
			a.Claim(ownership.Sighting{Agent: id, Since: uint32(round), Arrived: true})
			a.Depart(id, ownership.Lost, uint32(round))
		}
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("40000 calls took %v", took)
	}
	if queued := a.Status().Queued; queued > 1000 {
		t.Errorf("%d claims of 1000 agents wait", queued)
	}
	before := s.stream().CachedInfo().State.LastSeq
	way.Open()
	awaitCondition(t, "the last state is stored", func() bool {
		o, ok := b.Owner(999)
		return ok && o.Reason == ownership.Lost && o.Since == 19
	})
	if stored := s.stream().CachedInfo().State.LastSeq - before; stored > 1500 {
		t.Errorf("%d records are stored for 1000 agents", stored)
	}
}

// A bucket that somebody has made by hand removes nothing by itself.
func TestAgentsMoveWithABucketThatRemovesNothing(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	cfg := kv.ClusterStreamConfig()
	if err := s.js.DeleteStream(patient(t), cfg.Name); err != nil {
		t.Fatal(err)
	}
	cfg.AllowMsgTTL = false
	s.makeStream(cfg)
	a, b := s.join("node01"), s.join("node02")
	a.claim(1)
	b.awaitOwner(1, "node01")
	b.claim(1)
	a.awaitOwner(1, "node02")
	a.Depart(1, ownership.Moved, 3)
	awaitCondition(t, "the first node has left it", func() bool { return len(b.Claims(1)) == 1 })
	if failed := a.Status().Failed; failed > 0 {
		t.Errorf("%d records were not taken", failed)
	}
}
