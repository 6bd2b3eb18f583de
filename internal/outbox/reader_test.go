package outbox

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
)

func mustRead(t *testing.T, o *Outbox, change ...func(*ReaderConfig)) *Reader {
	t.Helper()
	cfg := ReaderConfig{Name: "roster", Class: Status}
	for _, c := range change {
		c(&cfg)
	}
	r, err := o.Reader(testContext(t), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// read returns the IDs of the next n messages, and the last one's sequence.
func read(t *testing.T, r *Reader, n int) (ids []string, last uint64) {
	t.Helper()
	for len(ids) < n {
		batch, err := r.Next(testContext(t), n-len(ids))
		if err != nil {
			t.Fatalf("after %d of %d: %v", len(ids), n, err)
		}
		for _, m := range batch {
			ids, last = append(ids, m.Header.Get(jetstream.MsgIDHeader)), m.Seq
		}
	}
	return ids, last
}

func TestAReaderGoesOnWhereItHasConfirmed(t *testing.T) {
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir})
	msgs := messages(Status, 1, 3000)
	mustPublish(t, o, msgs)
	r := mustRead(t, o)
	got, _ := read(t, r, 2500)
	if diff := cmp.Diff(ids(msgs[:2500]), got); diff != "" {
		t.Error(diff)
	}
	r.Confirm(1000)
	r.Confirm(900) // never backwards
	r.Rewind()
	if got, last := read(t, r, 1); got[0] != msgs[1000].ID || last != 1001 {
		t.Errorf("after a rewind: %s, %d", got[0], last)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, o)

	o = mustOpen(t, Config{Dir: dir})
	r = mustRead(t, o)
	if r.Confirmed() != 1000 {
		t.Errorf("confirmed is %d", r.Confirmed())
	}
	got, _ = read(t, r, 2000)
	if diff := cmp.Diff(ids(msgs[1000:]), got); diff != "" {
		t.Error("after a restart:", diff)
	}
	more := messages(Status, 3001, 3005)
	mustPublish(t, o, more)
	if got, _ := read(t, r, 5); cmp.Diff(ids(more), got) != "" {
		t.Errorf("live: %v", got)
	}
}

func TestAReaderOfWhatIsCurrentBeginsWithTheLastOfEachSubject(t *testing.T) {
	o := mustOpen(t, Config{})
	first, second := messages(Status, 1, 100), messages(Status, 1, 50)
	for i := range second {
		second[i].ID += "b"
	}
	alert := Message{Class: Status, Subject: prefix + ".alerts.fleet_outage", ID: "a"}
	mustPublish(t, o, append(append(first, alert), second...))
	current := func(cfg *ReaderConfig) { cfg.Current, cfg.Filter = true, prefix+".agent.*.status_change" }
	r := mustRead(t, o, current)
	got, last := read(t, r, 100)
	if diff := cmp.Diff(append(ids(first[50:]), ids(second)...), got); diff != "" {
		t.Error(diff)
	}
	later := messages(Status, 7, 7)
	later[0].ID = "later"
	mustPublish(t, o, append([]Message{alert}, later...))
	if got, _ := read(t, r, 1); got[0] != "later" {
		t.Errorf("live: %v", got)
	}

	r.Confirm(last)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = mustRead(t, o, current)
	if got, _ := read(t, r, 1); got[0] != "later" {
		t.Errorf("once it has a position: %v", got)
	}
}

func TestAReaderThatBeginsAnewForgetsItsPosition(t *testing.T) {
	o := mustOpen(t, Config{})
	first, second := messages(Status, 1, 3), messages(Status, 1, 2)
	for i := range second {
		second[i].ID += "b"
	}
	mustPublish(t, o, append(first, second...))
	current := func(cfg *ReaderConfig) { cfg.Current = true }
	r := mustRead(t, o, current)
	want := append(ids(first[2:]), ids(second)...)
	for range 2 {
		got, last := read(t, r, 3)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		r.Confirm(last)
		if err := r.StartOver(); err != nil || r.Confirmed() != 0 {
			t.Error(r.Confirmed(), err)
		}
	}
	if err := r.Close(); err != nil { // without having read again
		t.Fatal(err)
	}
	r = mustRead(t, o, current)
	got, last := read(t, r, 3)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("after a restart:", diff)
	}
	r.Confirm(last)
	file := cursorFor(o.cfg.Dir, "STATUS.roster.cursor")
	for ctx := testContext(t); ; { // it follows to disk as before
		if seq, err := file.loadSequence(); err != nil || ctx.Err() != nil {
			t.Fatal(seq, err, ctx.Err())
		} else if seq == last {
			return
		}
	}
}

func TestAReadersPositionReachesTheDiskByItself(t *testing.T) {
	o := mustOpen(t, Config{})
	mustPublish(t, o, messages(Status, 1, 3))
	r := mustRead(t, o)
	read(t, r, 3)
	r.Confirm(3)
	file := cursorFor(o.cfg.Dir, "STATUS.roster.cursor")
	for ctx := testContext(t); ; {
		if seq, err := file.loadSequence(); err != nil || ctx.Err() != nil {
			t.Fatal(seq, err, ctx.Err())
		} else if seq == 3 {
			return
		}
	}
}

func TestAReaderEndsWithItsContextOnly(t *testing.T) {
	o := mustOpen(t, Config{})
	r := mustRead(t, o)
	ctx, cancel := context.WithCancel(testContext(t))
	cancel()
	if got, err := r.Next(ctx, 1); got != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, %v", got, err)
	}
	mustPublish(t, o, messages(Status, 1, 1))
	if got, _ := read(t, r, 1); got[0] != "node01-1-1" {
		t.Errorf("then it got %v", got)
	}
}

func TestAReaderThatCannotBeIsRefused(t *testing.T) {
	o := mustOpen(t, Config{})
	if _, err := o.Reader(testContext(t), ReaderConfig{Name: "other"}); err == nil || !strings.Contains(err.Error(), "not among the readers' names") {
		t.Errorf("error is %v", err)
	}
}

func TestAPrefixThatRequestsHaveIsRefused(t *testing.T) {
	for _, prefix := range []string{"pulse", "pulse.x", "$SRV", "$JS.API", "_INBOX"} {
		if o, err := Open(testContext(t), Config{Prefix: prefix, Dir: t.TempDir()}); o != nil || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", prefix)) {
			t.Errorf("%s: %v", prefix, err)
		}
	}
}

func TestTheLastIDOfAnEmptyStreamIsNone(t *testing.T) {
	o := mustOpen(t, Config{})
	for c := range Class(classes) {
		if id, err := o.ReadLastID(testContext(t), c); id != "" || err != nil {
			t.Errorf("%s: %q, %v", c, id, err)
		}
	}
	mustPublish(t, o, messages(Status, 1, 3))
	if id, err := o.ReadLastID(testContext(t), Status); id != messages(Status, 3, 3)[0].ID || err != nil {
		t.Errorf("%q, %v", id, err)
	}
}
