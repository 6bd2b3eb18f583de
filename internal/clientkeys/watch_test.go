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

// watched runs a watch in fake time. The file is real, its events are not: the
// test sends them.
type watched struct {
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

func (h *watched) changed(s *Set, _ []Problem) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sets = append(h.sets, s.Len())
}

func (h *watched) failed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if err == nil {
		h.mended++
		return
	}
	h.fails = append(h.fails, err.Error())
}

func (h *watched) observe() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.adds++
	return h.addErr
}

func inFakeTime(t *testing.T, known *Set, test func(w *watched)) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "client.keys")
	synctest.Test(t, func(t *testing.T) {
		h := &watched{t: t, path: path, events: make(chan fsnotify.Event)}
		h.write(one)
		w := newWatch(path, known, h.changed, h.failed)
		source := filewatch.Source{Events: h.events, Add: func(string) error { return h.observe() }}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); filewatch.Follow(ctx, source, w.watchConfig(), w.handleChange) }()
		test(h)
		cancel()
		<-done
	})
}

// write replaces the content; its size tells a poll that it changed.
func (h *watched) write(text string) {
	h.t.Helper()
	if err := os.WriteFile(h.path, []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

func (h *watched) event() { h.events <- fsnotify.Event{Name: h.path, Op: fsnotify.Write} }

// after lets fake time pass and then compares all that was reported so far.
func (h *watched) after(d time.Duration, sets []int, fails int) {
	h.t.Helper()
	time.Sleep(d) // fake time
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	if !slices.Equal(h.sets, sets) || len(h.fails) != fails {
		h.t.Fatalf("reported %v and %q, want %v and %d failures", h.sets, h.fails, sets, fails)
	}
}

func knownOne() *Set { return setOf(one) }

func setOf(text string) *Set { s, _, _ := Parse(strings.NewReader(text)); return s }

func TestTheKnownContentIsNoChange(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watched) {
		w.after(time.Minute, nil, 0)
		w.event()
		w.after(time.Minute, nil, 0)
	})
}

func TestAChangeBeforeTheWatchBeganIsReported(t *testing.T) {
	inFakeTime(t, setOf(two), func(w *watched) { w.after(settleTime, []int{1}, 0) })
	inFakeTime(t, nil, func(w *watched) { w.after(settleTime, []int{1}, 0) })
}

func TestAFileIsReadOnceItHasSettled(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watched) {
		w.after(time.Second, nil, 0)
		w.write("001 a any K\n002")
		w.event()
		w.after(settleTime-1, nil, 0)
		w.write(two)
		w.event()
		w.after(settleTime-1, nil, 0)
		w.after(1, []int{2}, 0)
	})
}

func TestAWriterWhoPausesWithinALineIsWaitedFor(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watched) {
		w.after(time.Second, nil, 0)
		for _, half := range []string{"", "001 a any K\n002"} {
			w.write(half)
			w.event()
			w.after(cutSettleTime, nil, 0)
		}
		w.write(two)
		w.event()
		w.after(settleTime, []int{2}, 0)
	})
}

func TestAFileLeftEmptyRemovesAllAgents(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watched) {
		w.after(time.Second, nil, 0)
		w.write("")
		w.event()
		w.after(settleTime+cutSettleTime, []int{0}, 0)
	})
}

func TestAFileWithoutALastNewlineIsTakenAfterAWhile(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watched) {
		w.after(time.Second, nil, 0)
		w.write(strings.TrimSpace(two))
		w.event()
		w.after(settleTime+cutSettleTime, []int{2}, 0)
	})
}

func TestAFileThatIsNeverLeftAloneIsReadAllTheSame(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watched) {
		w.after(time.Second, nil, 0)
		w.write(two)
		for range maxSettleTime/(settleTime/2) - 1 {
			w.event()
			w.after(settleTime/2, nil, 0)
		}
		w.event()
		w.after(settleTime/2, []int{2}, 0)
	})
}

func TestAChangeWithoutAnEventIsFoundByLooking(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watched) {
		w.after(time.Second, nil, 0)
		w.write(two)
		w.after(pollPeriod+settleTime, []int{2}, 0)
	})
}

func TestAnotherFilesEventsDoNotMatter(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watched) {
		w.after(time.Second, nil, 0)
		w.write(two)
		w.events <- fsnotify.Event{Name: w.path + ".tmp", Op: fsnotify.Create}
		w.after(settleTime*2, nil, 0)
	})
}

func TestAMissingFileFailsOnceAndKeepsTheLastSet(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watched) {
		w.after(time.Second, nil, 0)
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.event()
		w.after(settleTime, nil, 1)
		w.after(time.Minute, nil, 1)

		if err := os.Mkdir(w.path, 0o700); err != nil { // another condition
			t.Fatal(err)
		}
		w.after(time.Minute, nil, 2)
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.write(two)
		w.after(time.Minute, []int{2}, 2)

		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		w.after(time.Minute, []int{2}, 3)
		w.write(two) // it was away, but did not change
		w.after(time.Minute, []int{2}, 3)
		if w.mended != 2 {
			t.Errorf("said %d times that it can be read again, want 2", w.mended)
		}
	})
}

func TestADirectoryThatCannotBeWatchedFailsOnceAndIsAskedAgain(t *testing.T) {
	inFakeTime(t, knownOne(), func(w *watched) {
		w.after(time.Second, nil, 0)
		w.mu.Lock()
		w.addErr = errors.New("no space left on device")
		w.mu.Unlock()
		w.write(two)
		w.after(time.Minute, []int{2}, 1)
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
