package listen

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// openStrangers opens connections that send half a message, from an address each.
func (s *testLink) openStrangers(from ...string) (conns []net.Conn) {
	s.t.Helper()
	for _, addr := range from {
		conn, err := s.connect("tcp", addr)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { conn.Close() })
		_, _ = conn.Write([]byte("d\x00\x00\x00!0"))
		conns = append(conns, conn)
	}
	return conns
}

func repeatAddress(n int, addr func(i int) string) (all []string) {
	for i := range n {
		all = append(all, addr(i))
	}
	return all
}

func TestStrangersDoNotKeepAgentsOut(t *testing.T) {
	t.Parallel()
	const limit = 64
	for _, c := range []struct {
		name      string
		strangers []string
		agents    map[string]string // id and address
	}{
		{"of one address", repeatAddress(3*limit, func(int) string { return "127.0.0.9" }), map[string]string{"002": "127.0.0.2", "003": "127.3.3.3", "005": "127.5.5.5"}},
		{"of the agents' own address", repeatAddress(3*limit, func(int) string { return "127.5.5.5" }), map[string]string{"001": "127.5.5.5", "005": "127.5.5.5"}},
		{"of an address each", repeatAddress(3*limit, func(i int) string { return fmt.Sprintf("127.1.%d.%d", i/200, 1+i%200) }),
			map[string]string{"002": "127.0.0.2", "003": "127.3.3.3", "005": "127.5.5.5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := prepareLink(t)
			s.link.limit = limit
			s.start()
			first := s.dialAgent("tcp", "001", "")
			s.startAgent(first, 1)
			for round := range 3 { // agents come, and come back
				s.openStrangers(c.strangers...)
				for id, addr := range c.agents {
					who, _ := detector.ParseID(id)
					if round == 0 && id == "001" {
						continue // it is there already
					}
					if id == "001" {
						first.send(keepAliveText)
						first.expectMessage(ackReply)
						s.expectSighting(1, detector.SawKeepAlive)
						continue
					}
					a := s.dialAgent("tcp", id, addr)
					s.startAgent(a, who)
					_ = a.conn.Close()
					s.expectSighting(who, detector.SawClosed)
				}
			}
			now := s.link.Stats()
			if now.Connections > limit {
				t.Errorf("%d connections", now.Connections)
			}
			if lines := s.log.linesWith("refused a peer"); len(lines) != 1 || !strings.Contains(lines[0], "too_many_connections") {
				t.Errorf("logged, want once: %q", lines)
			}
			first.send(keepAliveText)
			first.expectMessage(ackReply)
		})
	}
}

// One message of a connected agent is enough for a connection to wait, and such
// connections are strangers too.
func TestConnectionsThatWaitForATakeoverAreEvictedToo(t *testing.T) {
	t.Parallel()
	s := prepareLink(t)
	s.link.limit, s.link.registry.closeTimeout = 64, time.Hour
	s.start()
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	captured := s.captureFrame(a, keepAliveText, detector.SawKeepAlive)
	for range 200 {
		s.replayFrame("tcp", captured)
	}
	for range 3 {
		b := s.dialAgent("tcp", "005", "")
		s.startAgent(b, 5)
		_ = b.conn.Close()
		s.expectSighting(5, detector.SawClosed)
	}
}

func strangerFrom(addr string) *conn {
	return &conn{from: netip.AddrPortFrom(netip.MustParseAddr(addr), 1)}
}

func TestTheAddressWithTheMostStrangersBeyondItsAgentsLosesOne(t *testing.T) {
	agents := map[string]int{"10.0.0.1": 5, "2001:db8:0:1::": 1}
	s := newStrangers(func(addr netip.Addr) int { return agents[addr.String()] })
	var want []*conn
	for _, addr := range []string{"10.0.0.1", "192.0.2.1", "10.0.0.1", "2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::7", "10.0.0.1"} {
		c := strangerFrom(addr)
		s.addStrangerConn(c)
		want = append(want, c)
	}
	for _, i := range []int{3, 1, 5} { // excess 3 and 2 and 2: the network of 2001:db8:: is one address
		if got := s.evictOldestStranger(false); got != want[i] && !(i == 1 && got == want[5]) && !(i == 5 && got == want[1]) {
			t.Fatalf("%v goes, want %v", got.from, want[i].from)
		}
	}
	for s.evictOldestStranger(false) != nil {
	}
	left := 0
	for s.evictOldestStranger(true) != nil {
		left++
	}
	if left != 4 || len(s.groups) != 0 { // three that their agents explain, and the one of another network
		t.Errorf("%d are left, %d groups", left, len(s.groups))
	}
	s.removeStrangerConn(want[0])
}

func TestAgentsAreCountedWhereTheyWereLast(t *testing.T) {
	s := openLink(t)
	at := func(addr string) int { return s.link.registry.countAgentsAt(netip.MustParseAddr(addr)) }
	for _, network := range []string{"tcp", "udp"} {
		a := s.dialAgent(network, "005", "127.5.5.5")
		s.startAgent(a, 5)
		b := s.dialAgent(network, "003", "127.5.5.5")
		s.startAgent(b, 3)
		if n := at("127.5.5.5"); n != 2 {
			t.Errorf("%s: %d agents", network, n)
		}
		_ = a.conn.Close()
		_ = b.conn.Close()
		if network == "tcp" {
			s.awaitClosed(2)
		}
		a = s.dialAgent(network, "005", "127.6.6.6")
		s.startAgent(a, 5)
		if here, there := at("127.5.5.5"), at("127.6.6.6"); here != 1 || there != 1 {
			t.Errorf("%s: %d and %d agents", network, here, there)
		}
		_ = a.conn.Close()
		if network == "tcp" {
			s.awaitClosed(1)
		}
	}
	if n := at("127.0.0.2"); n != 1 { // registered there
		t.Errorf("%d agents", n)
	}
	s.link.SetKeys(readKeys(t, "005 vpn any 9999\n"))
	if n := at("127.6.6.6"); n != 0 {
		t.Errorf("%d agents", n)
	}
}

func (s *testLink) awaitClosed(n int) {
	s.t.Helper()
	for range n {
		select {
		case seen := <-s.sightings:
			if seen.Kind != detector.SawClosed {
				s.t.Fatalf("saw %+v", seen)
			}
		case <-time.After(patience):
			s.t.Fatal("no end of a connection is seen")
		}
	}
}
