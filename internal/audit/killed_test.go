package audit

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// writeIn makes the test binary write the log in a directory until it is killed.
const writeIn = "AUDIT_WRITE_IN"

// kills is how often a process is killed, each time over what the last one left.
const kills = 8

// A process that is killed leaves a log that goes on: what had reached the disk is
// there, and the next life says that the one before did not end in order.
func TestAKilledProcessLeavesALogThatGoesOn(t *testing.T) {
	if dir := os.Getenv(writeIn); dir != "" {
		writeForever(t, dir)
	}
	dir := t.TempDir()
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	var heads []Head
	for i := range kills {
		heads = append(heads, killedWriting(t, dir, time.Duration(random.IntN(30_000))*time.Microsecond))
		l := mustOpen(t, Config{Dir: dir})
		l.Add("between")
		if i%2 == 0 {
			mustClose(t, l)
			l = mustOpen(t, Config{Dir: dir})
		}
		mustClose(t, l)
		c, err := Verify(dir, Check{Key: trusted, Heads: heads})
		if err != nil || c.Heads != len(heads) || c.NotClosed != uint64(i+1) {
			t.Fatalf("kill %d of seed %d: %+v, %v", i, seed, c, err)
		}
	}
}

func writeForever(t *testing.T, dir string) {
	l := mustOpen(t, Config{Dir: dir})
	for told := uint64(0); ; {
		fill(l, 20)
		l.maintainLogFiles(time.Now(), told%3 == 0)
		if h := l.State().Head; h.Seq > told {
			told = h.Seq
			fmt.Printf("safe %d %s\n", h.Seq, h.Hash)
		}
		if l.State().Missing > 0 {
			t.Fatal("lines are missing")
		}
	}
}

// killedWriting starts a process, kills it some time after it has said how much is
// safe, and returns that.
func killedWriting(t *testing.T, dir string, after time.Duration) (safe Head) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run", "^TestAKilledProcessLeavesALogThatGoesOn$")
	child.Env = append(os.Environ(), writeIn+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var kill *time.Timer
	for said := bufio.NewScanner(out); said.Scan(); {
		seq, hash, _ := strings.Cut(strings.TrimPrefix(said.Text(), "safe "), " ")
		n, err := strconv.ParseUint(seq, 10, 64)
		if err != nil {
			t.Fatalf("the child says %q", said.Text())
		}
		safe = Head{n, hash}
		if kill == nil {
			kill = time.AfterFunc(after, func() { _ = child.Process.Kill() })
		}
	}
	if kill == nil {
		_ = child.Process.Kill()
	}
	_ = child.Wait() // killed
	if safe.Seq == 0 {
		t.Fatal("the child said nothing")
	}
	return safe
}

func TestALogHasOneWriter(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	if other, err := Open(Config{Dir: dir, Log: slog.New(slog.DiscardHandler)}); other != nil || err == nil ||
		!strings.Contains(err.Error(), dir+": another Pulse is using it") {
		t.Error(other, err)
	}
	fill(l, 3)
	l.maintainLogFiles(time.Now(), true)
	if c := verify(t, dir); !c.Live || c.Closed || c.Lines != 4 {
		t.Errorf("%+v", c)
	}
	// Half a line may be on its way.
	if _, err := l.out.WriteAt([]byte(`{"seq":5,`), l.size); err != nil {
		t.Fatal(err)
	}
	if c := verify(t, dir); c.Torn != 9 {
		t.Errorf("%+v", c)
	}
	mustClose(t, l)
	if c := verify(t, dir); c.Live || !c.Closed {
		t.Errorf("%+v", c)
	}
}

// A disk that is full for a while costs lines, and the log says how many.
func TestARealDiskThatIsFullForAWhile(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	l := mustOpen(t, Config{Dir: dir})
	fill(l, 2000)
	l.maintainLogFiles(time.Now(), true)
	if err := l.State().Err; !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	head := l.State().Head
	l.mu.Lock()
	l.pendingLimit = 256 << 10
	l.mu.Unlock()
	fill(l, 4000)
	if n := l.State().Missing; n == 0 {
		t.Error("nothing is missing")
	}
	if err := syscall.Mount("", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.maintainLogFiles(time.Now(), true)
	}
	if s := l.State(); s.Err != nil || s.Head.Seq <= head.Seq {
		t.Errorf("%+v", s)
	}
	mustClose(t, l)
	c := verify(t, dir)
	if c.Missing != l.State().Missing || !c.Closed {
		t.Errorf("%+v", c)
	}
	n := uint64(0)
	if err := Read(dir, Filter{Kind: "transition"}, func(*Line) error { n++; return nil }); err != nil || n+c.Missing != 6000 {
		t.Error(n, c.Missing, err)
	}
}

func TestAFileThatIsRemovedWhileItIsWrittenIsMissed(t *testing.T) {
	dir := t.TempDir()
	said := new(bytes.Buffer)
	l := mustOpen(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(said, nil))})
	fill(l, 3)
	l.maintainLogFiles(time.Now(), true)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	fill(l, 3)
	l.maintainLogFiles(time.Now(), true)
	l.maintainLogFiles(time.Now(), true)
	fill(l, 3)
	mustClose(t, l)
	if _, err := Verify(dir, Check{Key: trusted}); !errors.Is(err, ErrMissing) {
		t.Error(err)
	}
	if lines := membersOf(t, dir, KindGone); len(lines) != 1 || !strings.HasPrefix(lines[0], `"first":1,"last":`) {
		t.Error(lines)
	}
	if n := strings.Count(said.String(), "somebody removed the file"); n != 1 {
		t.Error(said)
	}
}
