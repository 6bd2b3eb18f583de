package clientkeys

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/wazuh-pulse/pulse/internal/filewatch"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	one = "001 a any K\n"
	two = "001 a any K\n002 b any K\n"
)

// watchHarness runs a watch in fake time. The file is real, its events are not: the
// test sends them.
type watchHarness struct {
	t      *testing.T
	path   string
	events chan fsnotify.Event

	mu     sync.Mutex
	sets   []int // how many agents each reported set had
	fails  []string
	mended int // how often the file could be read again
	adds   int
	addErr error
}

func (h *watchHarness) recordChange(s *Set, _ []Problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sets = append(h.sets, s.Len())
}

func (h *watchHarness) recordFailure(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.mended++
		return
	}
	h.fails = append(h.fails, err.Error())
}

func (h *watchHarness) recordObserve() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.adds++
	return h.addErr
}

func inFakeTime(t *testing.T, known *Set, test func(w *watchHarness)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client.keys")
	synctest.Test(t, func(t *testing.T) {
		h := &watchHarness{t: t, path: path, events: make(chan fsnotify.Event)}
		h.writeFile(one)
		w := newWatch(path, known, h.recordChange, h.recordFailure)
		source := filewatch.Source{Events: h.events, Add: func(string) error { return h.recordObserve() }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); filewatch.Follow(ctx, source, w.watchConfig(), w.handleChange) }()
		test(h)
		cancel()
		<-done
	})
}

// writeFile replaces the content; its size tells a poll that it changed.
func (h *watchHarness) writeFile(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *watchHarness) sendEvent() { h.events <- fsnotify.Event{Name: h.path, Op: fsnotify.Write} }

// checkAfter lets fake time pass and then compares all that was reported so far.
func (h *watchHarness) checkAfter(d time.Duration, sets []int, fails int) {
	h.t.Helper()
	time.Sleep(d) // fake time
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.sets, sets) || len(h.fails) != fails {
		h.t.Fatalf("reported %v and %q, want %v and %d failures", h.sets, h.fails, sets, fails)
	}
}

func knownOne() *Set { return parseKeysText(one) }

func parseKeysText(text string) *Set { s, _, _ := Parse(strings.NewReader(text)); return s }

func TestTheKnownContentIsNoChange(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watchHarness) {
		w.checkAfter(time.Minute, nil, 0)
		w.sendEvent()
		w.checkAfter(time.Minute, nil, 0)
	})
}

func TestAChangeBeforeTheWatchBeganIsReported(t *testing.T) {
	inFakeTime(t, parseKeysText(two), func(w *watchHarness) { w.checkAfter(settleTime, []int{1}, 0) })
	inFakeTime(t, nil, func(w *watchHarness) { w.checkAfter(settleTime, []int{1}, 0) })
}

func TestAFileIsReadOnceItHasSettled(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watchHarness) {
		w.checkAfter(time.Second, nil, 0)
		w.writeFile("001 a any K\n002")
		w.sendEvent()
		w.checkAfter(settleTime-1, nil, 0)
		w.writeFile(two)
		w.sendEvent()
		w.checkAfter(settleTime-1, nil, 0)
		w.checkAfter(1, []int{2}, 0)
	})
}

func TestAWriterWhoPausesWithinALineIsWaitedFor(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watchHarness) {
		w.checkAfter(time.Second, nil, 0)
		for _, half := range []string{"", "001 a any K\n002"} {
			w.writeFile(half)
			w.sendEvent()
			w.checkAfter(cutSettleTime, nil, 0)
		}
		w.writeFile(two)
		w.sendEvent()
		w.checkAfter(settleTime, []int{2}, 0)
	})
}

func TestAFileLeftEmptyRemovesAllAgents(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watchHarness) {
		w.checkAfter(time.Second, nil, 0)
		w.writeFile("")
		w.sendEvent()
		w.checkAfter(settleTime+cutSettleTime, []int{0}, 0)
	})
}

func TestAFileWithoutALastNewlineIsTakenAfterAWhile(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watchHarness) {
		w.checkAfter(time.Second, nil, 0)
		w.writeFile(strings.TrimSpace(two))
		w.sendEvent()
		w.checkAfter(settleTime+cutSettleTime, []int{2}, 0)
	})
}

func TestAFileThatIsNeverLeftAloneIsReadAllTheSame(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watchHarness) {
		w.checkAfter(time.Second, nil, 0)
		w.writeFile(two)
		for range maxSettleTime/(settleTime/2) - 1 {
			w.sendEvent()
			w.checkAfter(settleTime/2, nil, 0)
		}
		w.sendEvent()
		w.checkAfter(settleTime/2, []int{2}, 0)
	})
}

func TestAChangeWithoutAnEventIsFoundByLooking(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watchHarness) {
		w.checkAfter(time.Second, nil, 0)
		w.writeFile(two)
		w.checkAfter(pollPeriod+settleTime, []int{2}, 0)
	})
}

func TestAnotherFilesEventsDoNotMatter(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watchHarness) {
		w.checkAfter(time.Second, nil, 0)
		w.writeFile(two)
		w.events <- fsnotify.Event{Name: w.path + ".tmp", Op: fsnotify.Create}
		w.checkAfter(settleTime*2, nil, 0)
	})
}

func TestAMissingFileFailsOnceAndKeepsTheLastSet(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watchHarness) {
		w.checkAfter(time.Second, nil, 0)
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.sendEvent()
		w.checkAfter(settleTime, nil, 1)
		w.checkAfter(time.Minute, nil, 1)

		if err := os.Mkdir(w.path, 0o700); err != nil { // another condition
			t.Fatal(err)
		}
		w.checkAfter(time.Minute, nil, 2)
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.writeFile(two)
		w.checkAfter(time.Minute, []int{2}, 2)

		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.checkAfter(time.Minute, []int{2}, 3)
		w.writeFile(two) // it was away, but did not change
		w.checkAfter(time.Minute, []int{2}, 3)
		if w.mended != 2 {
			t.Errorf("said %d times that it can be read again, want 2", w.mended)
		}
	})
}

func TestADirectoryThatCannotBeWatchedFailsOnceAndIsAskedAgain(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watchHarness) {
		w.checkAfter(time.Second, nil, 0)
		w.mu.Lock()
		w.addErr = errors.New("no space left on device")
		w.mu.Unlock()
		w.writeFile(two)
		w.checkAfter(time.Minute, []int{2}, 1)
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.adds < 6 {
			t.Errorf("asked %d times", w.adds)
		}
		if !strings.Contains(w.fails[0], "watch client keys: no space") {
			t.Error(w.fails)
		}
	})
}
