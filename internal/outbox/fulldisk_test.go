package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// smallDisk mounts a disk of its own.
func smallDisk(t *testing.T, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "mode=0700,"+options); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fill leaves no room on a disk, and returns what makes room again.
func fill(t *testing.T, dir string) (makeRoom func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; size /= 2 {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
	if err := errors.Join(f.Close()); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// large makes messages that take some room, of both classes.
func large(from, to int) []Message {
	msgs := slices.Concat(messages(Status, from, to), messages(Telemetry, from, to))
	for i := range msgs {
		msgs[i].Data = fmt.Appendf(nil, `{"n":%d,"x":"%2000d"}`, i, 0)
	}
	return msgs
}

func TestPublishGoesOnWhenAFullDiskHasRoomAgain(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=64m")
	far := newFarSide(t, withJetStream)
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	storeAllSubjects(t, js, -1)
	book, log := newTestLog()
	store := filepath.Join(dir, "outbox")
	o := mustOpen(t, Config{Dir: store, Listen: "", Remote: far.remote(), Log: log})
	mustPublish(t, o, large(1, 200))

	for round := 1; round <= 2; round++ {
		makeRoom := fill(t, dir)
		done := make(chan error, 1)
		go func() {
			done <- o.Publish(testContext(t), large(round*1000, round*1000+999))
		}()
		for ctx := testContext(t); o.Err() == nil; pause(ctx, time.Millisecond) {
			if ctx.Err() != nil {
				t.Fatal("the outbox thinks that it can store")
			}
		}
		select {
		case err := <-done:
			t.Fatalf("published on a full disk: %v", err)
		default:
		}
		if err := o.Err().Error(); !strings.Contains(err, "store in "+store) {
			t.Errorf("%s", err)
		}
		o.Stats() // does not wait
		makeRoom()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if err := o.Err(); err != nil {
			t.Error(err)
		}
	}
	book.WaitForLine(t, "the disk is full: what is to be published waits in memory")
	book.WaitForLine(t, "the disk has room again: storing goes on")
	mustPublish(t, o, large(5000, 5009))

	for _, c := range []Class{Status, Telemetry} {
		want := slices.Concat(ids(messages(c, 1, 200)), ids(messages(c, 1000, 2999)), ids(messages(c, 5000, 5009)))
		got := testsupport.WaitForStored(t, o.js, c.String(), len(want))
		if c == Telemetry {
			slices.Sort(got)
			slices.Sort(want)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", c, diff)
		}
	}
	if s := o.Stats(); s.Status.Published != 2210 || s.Telemetry.Published != 2210 || s.Status.Lost > 0 {
		t.Errorf("%+v", s)
	}
	if got := testsupport.WaitForStored(t, js, "XDR", 4420); len(got) != 4420 {
		t.Errorf("%d at the far side", len(got))
	}
}

func TestPublishOnAFullDiskEndsWithItsContext(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=32m")
	o := mustOpen(t, Config{Dir: filepath.Join(dir, "outbox")})
	fill(t, dir)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if err := o.Publish(ctx, large(1, 3000)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
}

func TestAnOutboxOpensOnAFullDiskWithWhatItHolds(t *testing.T) {
	t.Parallel()
	dir := smallDisk(t, "size=64m")
	store := filepath.Join(dir, "outbox")
	o := mustOpen(t, Config{Dir: store})
	mustPublish(t, o, large(1, 200))
	mustClose(t, o)
	makeRoom := fill(t, dir)
	for range 5 {
		book, log := newTestLog()
		o = mustOpen(t, Config{Dir: store, Log: log})
		book.WaitForLine(t, "starting with the room that was kept for this")
		n := 0
		if err := o.ReadLast(testContext(t), prefix+".agent.*.status_change", func(string, []byte) error { n++; return nil }); err != nil || n != 200 {
			t.Errorf("%d are there, %v", n, err)
		}
		mustClose(t, o)
	}
	o, err := openOutbox(testContext(t), Config{Prefix: prefix, Dir: store, Log: slog.New(slog.DiscardHandler)}, quick)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, o) })
	done := make(chan error, 1)
	go func() { done <- o.Publish(testContext(t), large(201, 1500)) }()
	for ctx := testContext(t); o.Err() == nil; pause(ctx, time.Millisecond) {
		if ctx.Err() != nil {
			t.Fatal("the outbox thinks that it can store")
		}
	}
	makeRoom()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids(messages(Status, 1, 1500)), testsupport.WaitForStored(t, o.js, "STATUS", 1500)); diff != "" {
		t.Error(diff)
	}
}
