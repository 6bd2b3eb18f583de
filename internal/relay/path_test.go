package relay

import (
	"io"
	"net"
	"testing"
	"time"
)

// dialPath connects through a path, and reads the name of the server behind it.
func dialPath(t *testing.T, p *Path) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if got := readText(t, c, 2); got != "a " {
		t.Fatalf("%q", got)
	}
	return c
}

func readText(t *testing.T, c net.Conn, n int) string {
	t.Helper()
	got := make([]byte, n)
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func openPath(t *testing.T) *Path {
	t.Helper()
	p, err := OpenPath(startEcho(t, "a").Addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestAPathThatIsCutEndsConnectionsAndIsTheSameWhenOpenedAgain(t *testing.T) {
	p := openPath(t)
	c, addr := dialPath(t, p), p.Addr()
	_ = p.SetCut(true)
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the connection goes on")
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("a new connection is taken")
	}
	for range 2 { // the second one changes nothing
		if err := p.SetCut(false); err != nil {
			t.Fatal(err)
		}
	}
	if p.Addr() != addr {
		t.Errorf("it begins at %s", p.Addr())
	}
	dialPath(t, p)
}

func TestWhatAFrozenPathHoldsPassesLater(t *testing.T) {
	p := openPath(t)
	c := dialPath(t, p)
	p.SetFrozen(true)
	if _, err := io.WriteString(c, "one"); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Errorf("%d bytes passed, %v", n, err)
	}
	_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
	p.SetFrozen(false)
	if got := readText(t, c, 3); got != "one" {
		t.Errorf("%q", got)
	}
	p.SetFrozen(true)
	if _, err := io.WriteString(c, "two"); err != nil {
		t.Fatal(err)
	}
	p.Close() // it ends though something is held
}

func TestASlowPathDelaysWhatPasses(t *testing.T) {
	p := openPath(t)
	c := dialPath(t, p)
	p.SetDelay(20 * time.Millisecond)
	began := time.Now()
	if _, err := io.WriteString(c, "one"); err != nil {
		t.Fatal(err)
	}
	readText(t, c, 3)
	if took := time.Since(began); took < 40*time.Millisecond {
		t.Errorf("there and back in %v", took)
	}
}
