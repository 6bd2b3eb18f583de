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

// squat opens connections that send half a message, from an address each.
func (s *station) squat(from ...string) (conns []net.Conn) {
	s.t.Helper()
	for _, addr := range from {
		conn, err := s.reach("tcp", addr)
		if err != nil {
			s.t.Fatal(err)
		}
		s.t.Cleanup(func() { conn.Close() })
		_, _ = conn.Write([]byte("d\x00\x00\x00!0"))
		conns = append(conns, conn)
	}
	return conns
}

func times(n int, addr func(i int) string) (all []string) {
	for i := range n {
		all = append(all, addr(i))
	}
	return all
}

func TestStrangersDoNotTakeThePlacesOfAgents(t *testing.T) {
	t.Parallel()
	const limit = 64
	for _, c := range []struct {
		name      string
		strangers []string
		agents    map[string]string // id and address
	}{
		{"of one address", times(3*limit, func(int) string { return "127.0.0.9" }), map[string]string{"002": "127.0.0.2", "003": "127.3.3.3", "005": "127.5.5.5"}},
		{"of the agents' own address", times(3*limit, func(int) string { return "127.5.5.5" }), map[string]string{"001": "127.5.5.5", "005": "127.5.5.5"}},
		{"of an address each", times(3*limit, func(i int) string { return fmt.Sprintf("127.1.%d.%d", i/200, 1+i%200) }),
			map[string]string{"002": "127.0.0.2", "003": "127.3.3.3", "005": "127.5.5.5"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := prepare(t)
			s.link.limit = limit
			s.run()
			first := s.dial("tcp", "001", "")
			s.greet(first, 1)
			for round := range 3 { // agents come, and come back
				s.squat(c.strangers...)
				for id, addr := range c.agents {
					who, _ := detector.ParseID(id)
					if round == 0 && id == "001" {
						continue // it is there already
					}
					if id == "001" {
						first.say(sayKeepAlive)
						first.expect(hearAck)
						s.expect(1, detector.SawKeepAlive)
						continue
					}
					a := s.dial("tcp", id, addr)
					s.greet(a, who)
					_ = a.conn.Close()
					s.expect(who, detector.SawClosed)
				}
			}
			now := s.link.Stats()
			if now.Connections > limit {
				t.Errorf("%d connections", now.Connections)
			}
			if lines := s.log.about("refused a peer"); len(lines) != 1 || !strings.Contains(lines[0], "too_many_connections") {
				t.Errorf("logged, want once: %q", lines)
			}
			first.say(sayKeepAlive)
			first.expect(hearAck)
		})
	}
}

// One message of a connected agent is enough for a connection to wait, and such
// connections are strangers too.
func TestThoseWhoWaitForAnAgentsPlaceAreDisplacedToo(t *testing.T) {
	t.Parallel()
	s := prepare(t)
	s.link.limit, s.link.registry.closeTime = 64, time.Hour
	s.run()
	a := s.dial("tcp", "001", "")
	s.greet(a, 1)
	captured := s.capture(a, sayKeepAlive, detector.SawKeepAlive)
	for range 200 {
		s.replay("tcp", captured)
	}
	for range 3 {
		b := s.dial("tcp", "005", "")
		s.greet(b, 5)
		_ = b.conn.Close()
		s.expect(5, detector.SawClosed)
	}
}

func strangerFrom(addr string) *conn {
	return &conn{from: netip.AddrPortFrom(netip.MustParseAddr(addr), 1)}
}

func TestWhoHasTheMostStrangersBeyondItsAgentsGivesOneUp(t *testing.T) {
	agents := map[string]int{"10.0.0.1": 5, "2001:db8:0:1::": 1}
	s := newStrangers(func(addr netip.Addr) int { return agents[addr.String()] })
	var want []*conn
	for _, addr := range []string{"10.0.0.1", "192.0.2.1", "10.0.0.1", "2001:db8::1", "192.0.2.1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::7", "10.0.0.1"} {
		c := strangerFrom(addr)
		s.add(c)
		want = append(want, c)
	}
	for _, i := range []int{3, 1, 5} { // excess 3 and 2 and 2: the network of 2001:db8:: is one address
		if got := s.displace(false); got != want[i] && !(i == 1 && got == want[5]) && !(i == 5 && got == want[1]) {
			t.Fatalf("%v goes, want %v", got.from, want[i].from)
		}
	}
	for s.displace(false) != nil {
	}
	left := 0
	for s.displace(true) != nil {
		left++
	}
	if left != 4 || len(s.groups) != 0 { // three that their agents explain, and the one of another network
		t.Errorf("%d are left, %d groups", left, len(s.groups))
	}
	s.remove(want[0])
}

func TestAgentsAreCountedWhereTheyWereLast(t *testing.T) {
	s := open(t)
	at := func(addr string) int { return s.link.registry.agentsAt(netip.MustParseAddr(addr)) }
	for _, network := range []string{"tcp", "udp"} {
		a := s.dial(network, "005", "127.5.5.5")
		s.greet(a, 5)
		b := s.dial(network, "003", "127.5.5.5")
		s.greet(b, 3)
		if n := at("127.5.5.5"); n != 2 {
			t.Errorf("%s: %d agents", network, n)
		}
		_ = a.conn.Close()
		_ = b.conn.Close()
		if network == "tcp" {
			s.awaitClosed(2)
		}
		a = s.dial(network, "005", "127.6.6.6")
		s.greet(a, 5)
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

func (s *station) awaitClosed(n int) {
	s.t.Helper()
	for range n {
		select {
		case seen := <-s.saw:
			if seen.Kind != detector.SawClosed {
				s.t.Fatalf("saw %+v", seen)
			}
		case <-time.After(patience):
			s.t.Fatal("no end of a connection is seen")
		}
	}
}
