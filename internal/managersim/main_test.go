package managersim

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience is how long a test waits for what has to come.
const patience = time.Minute

// start starts a manager that ends with the test.
func start(t *testing.T, cfg Config) *Manager {
	t.Helper()
	dir, err := os.MkdirTemp("", "wz") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg.Home = dir
	m, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func keysOf(n int) (keys []clientkeys.Key) {
	var text strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&text, "%03d web-%03d any %064d\n", i, i, i)
	}
	set, _, _ := clientkeys.Parse(strings.NewReader(text.String()))
	return set.Keys()
}

// dial connects to one of the manager's stream sockets.
func dial(t *testing.T, m *Manager, socket string) net.Conn {
	t.Helper()
	conn, err := net.Dial("unix", filepath.Join(m.Home(), socket))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// ask sends one message to a socket and returns the answer.
func ask(t *testing.T, conn net.Conn, text string) string {
	t.Helper()
	if _, err := conn.Write(appendFrame(nil, []byte(text))); err != nil {
		t.Fatal(err)
	}
	answer, err := readFrame(conn)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return string(answer)
}

// until waits until something holds at the manager.
func until(t *testing.T, m *Manager, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for {
		changed := m.Changed()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatalf("not %s", what)
		}
	}
}

func status(t *testing.T, m *Manager, id int) Agent {
	t.Helper()
	a, err := m.Agent(id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
