package outbox

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// idNumber is the sequence in the last ID of ofEpoch.
var idNumber atomic.Uint64

// ofEpoch gives messages the IDs of one run of a node.
func ofEpoch(epoch int, msgs ...Message) []Message {
	for i := range msgs {
		msgs[i].ID = fmt.Sprintf("node-01-%d-%d-CODE", epoch, idNumber.Add(1))
	}
	return msgs
}

// A reader that verifies takes a message of an epoch that is over for a replay. The backlogs
// of two agents are of different lengths, and of three runs.
func TestMessagesOfARunComeBeforeThoseOfTheNext(t *testing.T) {
	for _, c := range []Class{Status, Telemetry} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			far := newFarSide(t, withJetStream)
			_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
			storeAllSubjects(t, js, -1)
			dir, total := t.TempDir(), 0
			for epoch := 1; epoch <= 3; epoch++ {
				cfg := Config{Dir: dir}
				if epoch == 3 {
					cfg.Remote = far.remote()
				}
				o := mustOpen(t, cfg)
				var all []Message
				for n := range 50 {
					all = append(all, ofEpoch(epoch, messages(c, 1, 1)...)...)
					if n == epoch {
						all = append(all, ofEpoch(epoch, messages(c, 2, 2)...)...)
					}
				}
				mustPublish(t, o, all)
				total += len(all)
				if epoch < 3 {
					mustClose(t, o)
				}
			}
			var got []uint64
			for _, id := range testsupport.WaitForStored(t, js, "XDR", total) {
				got = append(got, epochOfID(id))
			}
			if !slices.IsSorted(got) || got[0] != 1 || got[total-1] != 3 {
				t.Errorf("the epochs come as %v", got)
			}
		})
	}
}

// What the remote refuses, and for long what it does not store, does not hold up the next run.
func TestTheNextRunWaitsForNothingThatIsRefused(t *testing.T) {
	t.Parallel()
	far := newFarSide(t, mayPublish(prefix+".agent.002.>"))
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL(), asXDR())
	storeAllSubjects(t, js, -1)
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir})
	mustPublish(t, o, ofEpoch(1, messages(Status, 1, 2)...))
	mustClose(t, o)
	o = mustOpen(t, Config{Dir: dir, Remote: far.remote(withPassword(t))})
	mustPublish(t, o, ofEpoch(2, messages(Status, 2, 2)...))
	testsupport.WaitForStored(t, js, "XDR", 2)
	mustClose(t, o)
}

func TestTheNextEpochWaitsInTheSchedule(t *testing.T) {
	s := newSchedule()
	add := func(subject string, seq uint64) { s.addMessage(subject, subject, true, entry{seq: seq}) }
	add("a", 1)
	add("a", 2)
	add("b", 3)
	s.addEpoch(4)
	add("b", 4)
	add("c", 5)
	s.addEpoch(6)
	add("a", 6)
	take := func() (sent []uint64) {
		for {
			q, e, ok := s.takeNext(false)
			if !ok {
				return sent
			}
			sent = append(sent, e.seq)
			defer s.settleEntry(q)
		}
	}
	var sent [][]uint64
	for len(s.epochs) > 0 {
		for got := take(); got != nil; got = take() {
			sent = append(sent, got)
		}
		if s.hasEarlier() {
			t.Fatalf("something is left before %d", s.epochs[0])
		}
		s.beginEpoch()
		if len(s.epochs) > 0 && !s.hasEarlier() {
			t.Fatalf("nothing is left before %d", s.epochs[0])
		}
	}
	sent = append(sent, take())
	if diff := cmp.Diff([][]uint64{{1, 3}, {2}, {4, 5}, {6}}, sent); diff != "" {
		t.Error(diff)
	}
}

func TestTheNextEpochWaitsForWhatIsHeldButNotForWhatIsRefused(t *testing.T) {
	s := newSchedule()
	s.addMessage("a", "a", true, entry{seq: 1})
	s.addEpoch(2)
	s.addMessage("a", "a", true, entry{seq: 2})
	q, e, _ := s.takeNext(false)
	s.holdQueue(q, e, waiting, "no leader")
	if !s.hasEarlier() {
		t.Error("what waits is forgotten")
	}
	s.moveQueue(q, refused)
	if s.hasEarlier() {
		t.Error("what is refused is waited for")
	}
	s.beginEpoch()
	s.probeQueues(refused, 1)
	if _, e, ok := s.takeNext(true); !ok || e.seq != 1 {
		t.Errorf("%+v, %v", e, ok)
	}
}

func TestTheEpochOfAnID(t *testing.T) {
	for id, want := range map[string]uint64{
		"node01-1716890000-12345-ABCDEFGHIJKLMNOP":    1716890000,
		"a-1-node-2-1716890000-12345-ABCDEFGHIJKLMNO": 1716890000,
		"": 0, "001-2": 0, "node01-x-2-C": 0, "node01--2-C": 0, "-1-2-C": 1, "a-99999999999999999999-2-C": 0,
	} {
		if got := epochOfID(id); got != want {
			t.Errorf("%q: %d, want %d", id, got, want)
		}
	}
}

// What is stored nowhere does not keep the messages of the next run from those who store them,
// however often another session is tried because nothing is confirmed.
func TestTheNextRunDoesNotWaitForWhatIsStoredNowhere(t *testing.T) {
	t.Parallel()
	far := newFarSide(t, withJetStream)
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	makeStream(t, js, "FIRST", nil, "agent.001.status_change")
	dir := t.TempDir()
	open := func() *Outbox {
		soon := quick
		soon.epoch, soon.stuck = 2*quick.stuck, quick.stuck
		_, to := newTestLog()
		o, err := openOutbox(testContext(t), Config{Prefix: prefix, Dir: dir, Remote: far.remote(), Log: to}, soon)
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	o := open()
	mustPublish(t, o, ofEpoch(1, messages(Status, 1, 1)...))
	testsupport.WaitForStored(t, js, "FIRST", 1)
	await(t, o, "it is forwarded", func(s Stats) bool { return s.Status.Backlog == 0 })
	removeStream(t, js, "FIRST")
	mustPublish(t, o, ofEpoch(1, messages(Status, 1, 1)...))
	await(t, o, "it waits", hasWaiting(1))
	mustClose(t, o)
	makeStream(t, js, "SECOND", nil, "agent.002.status_change")
	o = open()
	defer mustClose(t, o)
	mustPublish(t, o, ofEpoch(2, messages(Status, 2, 2)...))
	testsupport.WaitForStored(t, js, "SECOND", 1)
}
