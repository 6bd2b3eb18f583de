package filewatch

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// follower runs Follow in fake time, with events that the test sends.
type follower struct {
	events chan fsnotify.Event

	mu     sync.Mutex
	wish   []time.Duration // what the next calls return
	calls  []Change
	added  []string
	addErr error
	failed []string
}

func follow(t *testing.T, beside bool, test func(*follower)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &follower{events: make(chan fsnotify.Event)}
		cfg := Config{Paths: []string{"/a/cert", "/b/key"}, Beside: beside, Settle: 100 * time.Millisecond, SettleMax: time.Second, Poll: 10 * time.Second,
			Failed: func(err error) { f.failed = append(f.failed, err.Error()) }}
		source := Source{Events: f.events, Add: f.add}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			Follow(ctx, source, cfg, f.changed)
		}()
		time.Sleep(cfg.Settle) // fake time: the first call
		synctest.Wait()
		test(f)
		cancel()
		<-done
	})
}

func (f *follower) add(dir string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.added = append(f.added, dir)
	return f.addErr
}

func (f *follower) setAddError(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.addErr = err
}

func (f *follower) setWish(d ...time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.wish = nil, d
}

func (f *follower) changed(c Change) (d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, c)
	if len(f.wish) > 0 {
		d, f.wish = f.wish[0], f.wish[1:]
	}
	return d
}

// check waits and compares all calls since the last check.
func (f *follower) check(t *testing.T, d time.Duration, want ...Change) {
	t.Helper()
	time.Sleep(d) // fake time
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Equal(f.calls, want) {
		t.Errorf("reported %+v, want %+v", f.calls, want)
	}
	f.calls = nil
}

func TestAChangeIsReportedOnceTheFilesAreLeftAlone(t *testing.T) {
	follow(t, false, func(f *follower) {
		f.check(t, 0, Change{})
		for range 5 {
			f.events <- fsnotify.Event{Name: "/a/cert"}
			f.check(t, 99*time.Millisecond)
		}
		f.check(t, time.Millisecond, Change{})
		f.check(t, 5*time.Second)
	})
}

func TestFilesThatChangeAllTheTimeAreReportedAsLate(t *testing.T) {
	follow(t, false, func(f *follower) {
		f.check(t, 0, Change{})
		for range 20 {
			f.events <- fsnotify.Event{Name: "/b/key"}
			time.Sleep(50 * time.Millisecond) // fake time
		}
		f.check(t, 0, Change{Late: true})
	})
}

func TestAChangeOfAnotherFileCountsOnlyWhereThatIsAskedFor(t *testing.T) {
	for _, beside := range []bool{false, true} {
		follow(t, beside, func(f *follower) {
			f.setWish()
			f.events <- fsnotify.Event{Name: "/a/..data"}
			if beside {
				f.check(t, time.Second, Change{})
			} else {
				f.check(t, time.Second)
			}
		})
	}
}

func TestALookComesFromTimeToTimeUnlessAChangeIsWaitedFor(t *testing.T) {
	follow(t, false, func(f *follower) {
		f.check(t, 10*time.Second, Change{}, Change{Polled: true})
		time.Sleep(9850 * time.Millisecond) // fake time: 50 ms before the next look
		f.events <- fsnotify.Event{Name: "/a/cert"}
		f.check(t, time.Second, Change{})
	})
}

func TestAWaitThatIsAskedForEndsWithAnotherCall(t *testing.T) {
	follow(t, false, func(f *follower) {
		f.setWish(500 * time.Millisecond)
		f.events <- fsnotify.Event{Name: "/a/cert"}
		f.check(t, 599*time.Millisecond, Change{})
		f.check(t, time.Millisecond, Change{Again: true})

		f.setWish(500 * time.Millisecond)
		f.events <- fsnotify.Event{Name: "/a/cert"}
		time.Sleep(300 * time.Millisecond) // fake time
		f.events <- fsnotify.Event{Name: "/a/cert"}
		f.check(t, 100*time.Millisecond, Change{}, Change{})
	})
}

func TestADirectoryWithoutEventsFailsOnceAndIsAskedForAgain(t *testing.T) {
	follow(t, false, func(f *follower) {
		f.setAddError(errors.New("no space left on device"))
		time.Sleep(30 * time.Second) // fake time
		synctest.Wait()
		if len(f.failed) != 2 || len(f.added) != 8 { // of two directories
			t.Errorf("failed with %q, asked for %q", f.failed, f.added)
		}
		f.setAddError(nil)
		time.Sleep(10 * time.Second) // fake time
		synctest.Wait()
		f.setAddError(errors.New("no space left on device"))
		time.Sleep(10 * time.Second) // fake time
		synctest.Wait()
		if len(f.failed) != 4 {
			t.Errorf("a failure after a success: %q", f.failed)
		}
	})
}

func TestAFileThatIsReplacedIsReported(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	calls := make(chan Change)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		Watch(ctx, Config{Paths: []string{path}, Settle: time.Millisecond, SettleMax: time.Second, Poll: time.Hour}, func(c Change) time.Duration {
			select {
			case calls <- c:
			case <-ctx.Done():
			}
			return 0
		})
	}()
	<-calls
	if err := errors.Join(os.WriteFile(path+".new", nil, 0o600), os.Rename(path+".new", path)); err != nil {
		t.Fatal(err)
	}
	if c := <-calls; c.Polled {
		t.Error("it was found by a look only")
	}
	cancel()
	<-done
}
