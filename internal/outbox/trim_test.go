package outbox

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// statusOf makes status changes of agents, each under its own ID.
func statusOf(from int, agents ...string) (msgs []Message) {
	for i, agent := range agents {
		msgs = append(msgs, Message{Class: Status, Subject: prefix + ".agent." + agent + ".status_change", ID: fmt.Sprintf("node01-1-%d", from+i), Data: []byte("{}")})
	}
	return msgs
}

// left returns the sequences that STATUS has.
func left(t *testing.T, o *Outbox) (sequences []uint64) {
	t.Helper()
	info, err := o.streams[Status].Info(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for seq := info.State.FirstSeq; seq <= info.State.LastSeq; seq++ {
		if _, err := o.streams[Status].GetMsg(testContext(t), seq); err == nil {
			sequences = append(sequences, seq)
		}
	}
	return sequences
}

func TestOldStatusChangesAreRemovedButForEachAgentsLast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir, StatusLimit: time.Hour})
	mustPublish(t, o, statusOf(1, "001", "002", "001", "003", "001"))
	if removed, err := o.trimStatus(testContext(t), time.Now().Add(-time.Hour)); err != nil || removed != 0 {
		t.Errorf("what is not old: %d, %v", removed, err)
	}
	middle := time.Now()
	if removed, err := o.trimStatus(testContext(t), middle.Add(time.Minute)); err != nil || removed != 2 {
		t.Errorf("%d, %v", removed, err)
	}
	if got := left(t, o); !slices.Equal(got, []uint64{2, 4, 5}) {
		t.Errorf("left: %v", got)
	}
	// What was an agent's last status is removed when it is none any more, also behind where the last trimming ended.
	mustPublish(t, o, statusOf(6, "002", "003"))
	for range 2 {
		if _, err := o.trimStatus(testContext(t), time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	if got := left(t, o); !slices.Equal(got, []uint64{5, 6, 7}) {
		t.Errorf("left: %v", got)
	}
	var last []string
	if err := o.ReadLast(testContext(t), prefix+".agent.*.status_change", func(subject string, _ []byte) error {
		last = append(last, subject)
		return nil
	}); err != nil || len(last) != 3 {
		t.Errorf("%v, %v", last, err)
	}
	mustClose(t, o)
	// It is no loss at the next start.
	o = mustOpen(t, Config{Dir: dir})
	if s := o.Stats(); s.Status.Lost != 0 {
		t.Errorf("%d are called lost", s.Status.Lost)
	}
	mustPublish(t, o, statusOf(8, "001"))
}

func TestWhatAReaderThatKeepsMessagesHasNotConfirmedIsNotRemoved(t *testing.T) {
	t.Parallel()
	o := mustOpen(t, Config{Dir: t.TempDir(), StatusLimit: time.Hour})
	r, err := o.Reader(testContext(t), ReaderConfig{Name: "ocsf", Class: Status, FromEnd: true, Keep: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	mustPublish(t, o, statusOf(1, "001", "001", "001", "001"))
	if n := r.CountWaiting(); n != 4 {
		t.Errorf("%d wait", n)
	}
	for confirmed, want := range [][]uint64{{1, 2, 3, 4}, {2, 3, 4}, {3, 4}} {
		r.Confirm(uint64(confirmed))
		if _, err := o.trimStatus(testContext(t), time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if got := left(t, o); !slices.Equal(got, want) {
			t.Errorf("confirmed %d: left %v, want %v", confirmed, got, want)
		}
	}
}

// An interruption between what is written to disk and what is removed is no loss either.
func TestATrimmingThatIsInterruptedIsNoLoss(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir})
	mustPublish(t, o, statusOf(1, "001", "001", "001"))
	if err := o.removeStatus(testContext(t), []uint64{1}); err != nil {
		t.Fatal(err)
	}
	if err := cursorFor(dir, statusGapsFile).saveSequence(2); err != nil { // one more was to be removed
		t.Fatal(err)
	}
	mustClose(t, o)
	o = mustOpen(t, Config{Dir: dir})
	if s := o.Stats(); s.Status.Lost != 0 {
		t.Errorf("%d are called lost", s.Status.Lost)
	}
}

func TestWhatIsNotConfirmedIsNeverRemoved(t *testing.T) {
	t.Parallel()
	far := newFarSide(t, withJetStream)
	_, log := newTestLog()
	far.stop()
	o := mustOpen(t, Config{Remote: far.remote(logTo(log)), Log: log})
	mustPublish(t, o, statusOf(1, "001", "001", "002", "001"))
	if removed, err := o.trimStatus(testContext(t), time.Now().Add(time.Hour)); err != nil || removed != 0 {
		t.Fatalf("while nothing is confirmed: %d, %v", removed, err)
	}
	far.start()
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	storeAllSubjects(t, js, -1)
	for ctx := testContext(t); o.Stats().Status.Backlog > 0; {
		if ctx.Err() != nil {
			t.Fatal("it is not confirmed")
		}
	}
	if removed, err := o.trimStatus(testContext(t), time.Now().Add(time.Hour)); err != nil || removed != 2 {
		t.Errorf("after it is confirmed: %d, %v", removed, err)
	}
	if got := left(t, o); !slices.Equal(got, []uint64{3, 4}) {
		t.Errorf("left: %v", got)
	}
}
