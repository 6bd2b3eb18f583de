package managersim

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentsim"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// keysOf5 returns keys with the numbers that authd of 5 gives.
func keysOf5(n int) []clientkeys.Key {
	var text strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&text, "%s five-%d any %064d\n", IDOf5(i), i, i)
	}
	set, _, _ := clientkeys.Parse(strings.NewReader(text.String()))
	return set.Keys()
}

// runFleet runs agents until the test ends.
func runFleet(t *testing.T, cfg agentsim.Config) *agentsim.Fleet {
	t.Helper()
	f, err := agentsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { _ = f.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return f
}

func TestAgentsOf4And5AreBesideEachOtherAtAManagerOf5(t *testing.T) {
	t.Parallel()
	of5, of4 := keysOf5(3), keysOf(2)
	m := start(t, Config{Version: "v5.0.0", Keys: append(of4, of5...), Wazuh5: Wazuh5{Throttle: time.Second}})
	const notify = 50 * time.Millisecond
	began := time.Now()
	five := runFleet(t, agentsim.Config{Manager: m.ControlAddr().String(), Keys: of5, Notify: notify, Retry: notify, Spread: true, Wazuh5: agentsim.Config5{On: true}})
	runFleet(t, agentsim.Config{Manager: m.AgentAddr().String(), Keys: of4, Notify: notify, Retry: notify})
	for _, id := range []int{1, 2, 1024, 1025, 1026} {
		until(t, m, "active", func() bool { return status(t, m, id).Status == "active" })
	}
	if got := ask(t, dial(t, m, "queue/sockets/remote"), "001 agent getstate"); !strings.Contains(got, "connected") {
		t.Errorf("an agent of 4: %s", got)
	}
	if got := ask(t, dial(t, m, "queue/sockets/remote"), "1024 agent getstate"); got != "err Cannot send request" {
		t.Errorf("an agent of 5: %s", got)
	}
	was := status(t, m, 1024).KeepAlive
	until(t, m, "written again", func() bool { return status(t, m, 1024).KeepAlive > was })
	until(t, m, "notified often", func() bool { return m.Stats().Notifies >= 40 })
	s := m.Stats()
	if most := 3 * (uint64(time.Since(began)/time.Second) + 2); s.Requests5 != 1 || uint64(s.NotifyRows) > most { // of each agent one in a second
		t.Errorf("%d requests to agents of 5, %d of %d notifies written, want %d at most", s.Requests5, s.NotifyRows, s.Notifies, most)
	}

	fail := func(id string, how agentsim.Failure) {
		t.Helper()
		if err := five.Fail(id, how); err != nil {
			t.Fatal(err)
		}
	}
	fail("1024", agentsim.Shutdown)
	until(t, m, "shut down", func() bool { a := status(t, m, 1024); return a.Status == "disconnected" && a.Code == 3 })
	fail("1025", agentsim.Hang)
	fail("1026", agentsim.Kill)
	m.StopRemoted()
	if err := m.StartRemoted(); err != nil {
		t.Fatal(err)
	}
	if a := status(t, m, 1025); a.Status != "disconnected" || a.Code != 5 {
		t.Errorf("after a restart: %+v", a)
	}
	if err := five.Revive("1025"); err != nil {
		t.Fatal(err)
	}
	until(t, m, "back", func() bool { return status(t, m, 1025).Status == "active" })
	if a := status(t, m, 1026); a.Status != "disconnected" {
		t.Errorf("killed: %+v", a)
	}
	if host, known := five.HostAnswers(netip.MustParseAddr("127.1.0.1")); !host || !known {
		t.Error("the host of an agent that is shut down answers")
	}
}

func TestAHungRemotedLetsAgentsOf5WaitAndADeadDatabaseLosesWhatWasNotCommitted(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	now := int64(1_000_000)
	advance := func(seconds int64) { mu.Lock(); defer mu.Unlock(); now += seconds }
	m := start(t, Config{Version: "v5.0.0", Keys: keysOf5(1), Now: func() int64 { mu.Lock(); defer mu.Unlock(); return now }})
	runFleet(t, agentsim.Config{Manager: m.ControlAddr().String(), Keys: keysOf5(1), Notify: 20 * time.Millisecond, Retry: 20 * time.Millisecond,
		Wazuh5: agentsim.Config5{On: true}})
	until(t, m, "active", func() bool { return status(t, m, 1024).Status == "active" })
	m.HangRemoted()
	conn, err := net.Dial("tcp", m.ControlAddr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprint(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("hung: %d bytes, %v", n, err)
	}
	m.ResumeRemoted()
	_ = conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := conn.Read(make([]byte, 1)); err != nil {
		t.Error(err)
	}
	advance(60)
	until(t, m, "written", func() bool { return status(t, m, 1024).KeepAlive == 1_000_060 })
	advance(50) // the last commit was before that write
	if err := m.KillDB(); err != nil {
		t.Fatal(err)
	}
	if a := status(t, m, 1024); a.KeepAlive != 1_000_000 {
		t.Errorf("rolled back: %+v", a)
	}
	advance(10) // a keep-alive is due, and lost
	lost := m.Stats().NotifyRows
	until(t, m, "lost", func() bool { return m.Stats().NotifyRows > lost })
	if err := m.StartDB(); err != nil {
		t.Fatal(err)
	}
	advance(59)
	if a := status(t, m, 1024); a.KeepAlive != 1_000_000 {
		t.Errorf("before the throttle is over: %+v", a)
	}
	advance(1)
	until(t, m, "written again", func() bool { return status(t, m, 1024).KeepAlive == 1_000_180 })
}
