package attach

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
	"golang.org/x/time/rate"
)

// fakeAnalysisd is analysisd's socket, in a manager's home.
type fakeAnalysisd struct {
	t    *testing.T
	home wazuhsock.Home
	conn *net.UnixConn
}

func newFakeAnalysisd(t *testing.T) *fakeAnalysisd {
	t.Helper()
	dir, err := os.MkdirTemp("", "wz") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	a := &fakeAnalysisd{t: t, home: wazuhsock.Home(dir)}
	t.Cleanup(func() { a.stop(); _ = os.RemoveAll(dir) })
	if err := os.MkdirAll(filepath.Dir(a.path()), 0o700); err != nil {
		t.Fatal(err)
	}
	return a
}

func (a *fakeAnalysisd) path() string { return a.home.Path(wazuhsock.AnalysisQueue) }

func (a *fakeAnalysisd) start() {
	a.t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: a.path(), Net: "unixgram"})
	if err != nil {
		a.t.Fatal(err)
	}
	a.conn = conn
}

// stop ends it as analysisd ends; start makes another socket in the same place.
func (a *fakeAnalysisd) stop() {
	if a.conn != nil {
		_ = a.conn.Close()
		_ = os.Remove(a.path())
		a.conn = nil
	}
}

// readEvents reads so many events, and checks that no more come at once.
func (a *fakeAnalysisd) readEvents(n int) (lines []string) {
	a.t.Helper()
	buf := make([]byte, 1<<16)
	for range n {
		_ = a.conn.SetReadDeadline(time.Now().Add(patience))
		size, err := a.conn.Read(buf)
		if err != nil {
			a.t.Fatalf("after %d of %d events: %v", len(lines), n, err)
		}
		lines = append(lines, string(buf[:size]))
	}
	return lines
}

// checkNoEvent checks that nothing waits in the socket.
func (a *fakeAnalysisd) checkNoEvent() {
	a.t.Helper()
	_ = a.conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	if size, err := a.conn.Read(make([]byte, 1<<16)); err == nil {
		a.t.Errorf("one more event, of %d bytes", size)
	}
}

// newTestSender returns a sender that is not slowed down, and its log.
func newTestSender(a *fakeAnalysisd) (*eventSender, *logRecorder) {
	log := new(logRecorder)
	s := newEventSender(a.home, newConditions(slog.New(log)), slog.New(log))
	s.rate, s.retry = rate.NewLimiter(rate.Inf, 1), 5*time.Millisecond
	return s, log
}

// runTestSender runs it, and returns what ends it.
func runTestSender(t *testing.T, s *eventSender) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { s.runSender(ctx) })
	stop = sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return stop
}

func queueNumbers(s *eventSender, from, to int) {
	for i := from; i < to; i++ {
		s.queueEvent(func() string { return fmt.Sprint("1:pulse:", i) })
	}
}

func checkNumbers(t *testing.T, lines []string, first int) {
	t.Helper()
	for i, line := range lines {
		if want := fmt.Sprint("1:pulse:", first+i); line != want {
			t.Fatalf("event %d of %d is %q, want %q", i, len(lines), line, want)
		}
	}
}

// waitForLine waits until something is logged.
func waitForLine(t *testing.T, log *logRecorder, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); len(log.linesAbout(text)) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not logged: %s; log: %q", text, log.allLines())
		}
	}
}

func TestEventsOutliveARestartOfAnalysisd(t *testing.T) {
	t.Parallel()
	a := newFakeAnalysisd(t)
	a.start()
	s, log := newTestSender(a)
	runTestSender(t, s)
	queueNumbers(s, 0, 3)
	checkNumbers(t, a.readEvents(3), 0)
	for round := range 3 {
		a.stop()
		queueNumbers(s, 3+10*round, 13+10*round)
		waitForLine(t, log, "wazuh-analysisd is not running")
		a.start()
		checkNumbers(t, a.readEvents(10), 3+10*round)
	}
	a.checkNoEvent()
	waitForLine(t, log, "wazuh-analysisd is there again")
	if s.sent.Load() != 33 || s.dropped.Load() != 0 || s.countWaiting() != 0 {
		t.Errorf("%d sent, %d dropped, %d wait", s.sent.Load(), s.dropped.Load(), s.countWaiting())
	}
}

// An analysisd that hangs lets its socket's buffer fill up.
func TestEventsOutliveAnAnalysisdThatReadsNothing(t *testing.T) {
	t.Parallel()
	const n = 2000 // more than the kernel queues for a socket
	a := newFakeAnalysisd(t)
	a.start()
	s, log := newTestSender(a)
	runTestSender(t, s)
	queueNumbers(s, 0, n)
	waitForLine(t, log, "wazuh-analysisd does not answer")
	checkNumbers(t, a.readEvents(n), 0)
	a.checkNoEvent()
	if s.dropped.Load() != 0 {
		t.Errorf("%d dropped", s.dropped.Load())
	}
}

func TestOfTooManyEventsTheOldestAreDroppedAndCounted(t *testing.T) {
	t.Parallel()
	const tooMany = 321
	a := newFakeAnalysisd(t)
	s, log := newTestSender(a)
	queueNumbers(s, 0, maxEventsWaiting+tooMany)
	if got := log.linesAbout("the oldest are dropped"); len(got) != 1 || s.countWaiting() != maxEventsWaiting {
		t.Errorf("%d wait; log: %q", s.countWaiting(), got)
	}
	a.start()
	runTestSender(t, s)
	checkNumbers(t, a.readEvents(maxEventsWaiting), tooMany)
	a.checkNoEvent()
	waitForLine(t, log, fmt.Sprintf("takes events again dropped=%d", tooMany))
	if lines := log.linesAbout("drop"); len(lines) != 2 || s.dropped.Load() != tooMany {
		t.Errorf("%d dropped; log: %q", s.dropped.Load(), lines)
	}
}

func TestEventsThatWaitWhenPulseEndsAreSent(t *testing.T) {
	t.Parallel()
	a := newFakeAnalysisd(t)
	a.start()
	s, _ := newTestSender(a)
	s.rate = rate.NewLimiter(eventRate, 1)
	stop := runTestSender(t, s)
	queueNumbers(s, 0, 50)
	var stopping sync.WaitGroup
	stopping.Go(stop)
	checkNumbers(t, a.readEvents(50), 0)
	stopping.Wait()
}

// An event that no socket takes is dropped, and does not hold up the next ones.
func TestAnEventThatIsTooLongHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	a := newFakeAnalysisd(t)
	a.start()
	s, log := newTestSender(a)
	runTestSender(t, s)
	s.queueEvent(func() string { return strings.Repeat("x", 4<<20) })
	queueNumbers(s, 0, 2)
	checkNumbers(t, a.readEvents(2), 0)
	if s.dropped.Load() != 1 || len(log.linesAbout("cannot be used")) != 0 {
		t.Errorf("%d dropped; log: %q", s.dropped.Load(), log.allLines())
	}
}
