package systemd

import (
	"context"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// patient is a node that is alive until the test ends that.
type patient struct {
	dead  atomic.Bool
	asked chan struct{}
}

func (p *patient) Summary() string { return "3 agents: 2 active" }

func (p *patient) Alive(ctx context.Context) error {
	select {
	case p.asked <- struct{}{}:
	default:
	}
	if p.dead.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// manager is a service manager's socket, as systemd makes it.
func manager(t *testing.T, watchdog time.Duration) (next func() string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt(watchdog.Microseconds(), 10))
	t.Setenv("WATCHDOG_PID", "")
	return func() string {
		buf := make([]byte, 4096)
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		n, err := conn.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		return string(buf[:n])
	}
}

// notify runs Notify; the returned function ends it.
func notify(t *testing.T, node Node) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); Notify(ctx, node, quiet) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

func TestReadyAliveAndStoppingAreTold(t *testing.T) {
	next := manager(t, 30*time.Millisecond)
	stop := notify(t, &patient{})
	if got := next(); got != "READY=1\nSTATUS=3 agents: 2 active" {
		t.Errorf("first: %q", got)
	}
	for range 3 {
		if got := next(); got != "WATCHDOG=1" {
			t.Errorf("then: %q", got)
		}
	}
	stop()
	for got := next(); !strings.HasPrefix(got, "STOPPING=1\n"); got = next() {
		if got != "WATCHDOG=1" {
			t.Fatalf("at the end: %q", got)
		}
	}
}

// A node that hangs is not reported as alive, whatever else runs in the process.
func TestANodeThatHangsIsNotSaidToLive(t *testing.T) {
	next := manager(t, 30*time.Millisecond)
	node := &patient{asked: make(chan struct{})}
	node.dead.Store(true)
	stop := notify(t, node)
	next()
	for range 3 {
		<-node.asked
	}
	stop()
	if got := next(); !strings.HasPrefix(got, "STOPPING=1\n") {
		t.Errorf("a hanging node: %q", got)
	}
}

func TestAReloadIsToldWithItsTimeAndItsEnd(t *testing.T) {
	next := manager(t, 0)
	ended := NotifyReloading(quiet)
	if got := next(); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[0-9]+\n$`).MatchString(got) {
		t.Errorf("first: %q", got)
	}
	ended()
	if got := next(); got != "READY=1" {
		t.Errorf("then: %q", got)
	}
	t.Setenv("NOTIFY_SOCKET", "")
	NotifyReloading(quiet)()
}

func TestWithoutAServiceManagerItReturnsAtOnce(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	Notify(t.Context(), &patient{}, quiet)
}
