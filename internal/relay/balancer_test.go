package relay

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// echo is a node that sends back what it gets, behind its name.
type echo struct {
	Node
	ended chan struct{} // a connection has ended
}

func startEcho(t *testing.T, name string) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	e := &echo{Node: Node{name, l.Addr().String()}, ended: make(chan struct{}, 100)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.WriteString(c, name+" ")
				_, _ = io.Copy(c, c)
				_ = c.Close()
				e.ended <- struct{}{}
			}()
		}
	}()
	return e
}

func openBalancer(t *testing.T, nodes ...*echo) *Balancer {
	t.Helper()
	var list []Node
	for _, n := range nodes {
		list = append(list, n.Node)
	}
	b, err := StartBalancer(list...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

// connect connects an agent, and returns what its node has sent to its first message.
func connect(t *testing.T, b *Balancer, first string) (net.Conn, string) {
	t.Helper()
	c, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, first); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2+len(first))
	if _, err := io.ReadFull(c, got); err != nil {
		t.Fatal(err)
	}
	return c, string(got)
}

const first001 = "\x10\x00\x00\x00!001!#AES:data"

func TestAnAgentGoesToItsNodeAndItsMessageIsWhole(t *testing.T) {
	b := openBalancer(t, startEcho(t, "a"), startEcho(t, "b"))
	for _, node := range []string{"b", "b", "a"} {
		b.SetRoute("001", node)
		c, got := connect(t, b, first001)
		if got != node+" "+first001 {
			t.Errorf("%q", got)
		}
		if at := b.Agents()["001"]; at != node {
			t.Errorf("the agent is at %q", at)
		}
		if n := b.CutAgent("001"); n != 1 {
			t.Errorf("%d connections", n)
		}
		if _, err := c.Read(make([]byte, 1)); err == nil {
			t.Error("the connection goes on")
		}
	}
}

func TestOtherAgentsGoToTheNodesInTurn(t *testing.T) {
	b := openBalancer(t, startEcho(t, "a"), startEcho(t, "b"))
	var nodes strings.Builder
	for range 4 {
		_, got := connect(t, b, "\x10\x00\x00\x00#AES:data")
		nodes.WriteString(got[:1])
	}
	if nodes.String() != "abab" {
		t.Errorf("%s", &nodes)
	}
}

func TestANodeThatIsDownIsLeftOut(t *testing.T) {
	down, dead, c := startEcho(t, "a"), &echo{Node: Node{"b", "127.0.0.1:1"}}, startEcho(t, "c")
	b := openBalancer(t, down, dead, c)
	b.SetDown("a", true)
	for range 3 {
		if _, got := connect(t, b, first001); got[0] != 'c' {
			t.Errorf("%q", got)
		}
	}
	b.SetDown("a", false)
	b.SetRoute("", "a")
	if _, got := connect(t, b, first001); got[0] != 'a' {
		t.Errorf("%q", got)
	}
	if n := b.CutNode("c"); n != 3 {
		t.Errorf("%d connections", n)
	}
}

func TestAnAgentWithARouteGoesNowhereElse(t *testing.T) {
	b := openBalancer(t, startEcho(t, "a"), startEcho(t, "b"))
	b.SetRoute("001", "b")
	b.SetDown("b", true)
	c, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, first001); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 1)); n > 0 || err == nil {
		t.Error("it is connected")
	}
}

func TestANodeDoesNotSeeTheEndOfAConnectionThatHangs(t *testing.T) {
	a := startEcho(t, "a")
	b := openBalancer(t, a)
	c, _ := connect(t, b, first001)
	if n := b.HangAgent("001"); n != 1 {
		t.Fatalf("%d connections", n)
	}
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("the agent's side goes on")
	}
	again, _ := connect(t, b, first001)
	_ = again.Close()
	<-a.ended // of the second one
	select {
	case <-a.ended:
		t.Error("the node has seen the end of the first")
	default:
	}
	b.Close()
	<-a.ended
}

func FuzzReadFirst(f *testing.F) {
	f.Add([]byte(first001))
	f.Add([]byte("\x10\x00\x00\x00#AES:data"))
	f.Add([]byte("\x10\x00\x00\x00!" + strings.Repeat("1", 100)))
	f.Add([]byte("\x10"))
	f.Fuzz(func(t *testing.T, data []byte) {
		read, agent, err := readFirst(iotest.OneByteReader(bytes.NewReader(data)))
		if err == nil && !bytes.HasPrefix(data, read) {
			t.Errorf("read %q of %q", read, data)
		}
		if len(agent) > longestID {
			t.Errorf("agent %q", agent)
		}
	})
}
