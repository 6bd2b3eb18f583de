package connlimit

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"
)

// server is a listener whose clients may have any loopback address.
type server struct {
	*testing.T
	*Listener
	closed []netip.Prefix
}

func newServer(t *testing.T, total, perClient int) *server {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	s := &server{T: t}
	s.Listener = NewListener(l, Limits{Total: total, PerClient: perClient, Closed: func(client netip.Prefix) { s.closed = append(s.closed, client) }})
	return s
}

// connect returns both ends of a connection from an address.
func (s *server) connect(from string) (client, accepted net.Conn) {
	s.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	client, err := d.Dial("tcp", s.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = client.Close() })
	if accepted, err = s.Accept(); err != nil {
		s.Fatal(err)
	}
	return client, accepted
}

func (s *server) isClosed(client net.Conn) bool {
	s.Helper()
	if err := client.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		s.Fatal(err)
	}
	_, err := client.Read(make([]byte, 1))
	timeout, ok := errors.AsType[net.Error](err)
	return err == nil || !ok || !timeout.Timeout()
}

func TestANewConnectionTakesThePlaceOfTheOneUnusedLongest(t *testing.T) {
	s := newServer(t, 10, 3)
	a, _ := s.connect("127.0.0.1")
	b, atB := s.connect("127.0.0.1")
	c, _ := s.connect("127.0.0.1")
	other, _ := s.connect("127.0.0.2")
	if _, err := a.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	s.connect("127.0.0.1") // a was not read: it is the oldest
	if !s.isClosed(a) {
		t.Error("the one that was unused for longest stays")
	}
	if _, err := atB.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	s.connect("127.0.0.1")
	if !s.isClosed(c) || s.isClosed(other) {
		t.Error("another one than the one that was unused for longest had to go")
	}
	if got, err := io.ReadAll(io.LimitReader(b, 1)); err != nil || string(got) != "x" {
		t.Errorf("the one in use: %q, %v", got, err)
	}
	if len(s.closed) != 2 || s.Open() != 4 {
		t.Errorf("closed %v, %d open", s.closed, s.Open())
	}
}

func TestAtTheLimitTheClientWithTheMostGivesWay(t *testing.T) {
	s := newServer(t, 5, 4)
	first, _ := s.connect("127.0.0.2")
	hog, _ := s.connect("127.0.0.1")
	for range 3 {
		s.connect("127.0.0.1")
	}
	_, accepted := s.connect("127.0.0.3")
	if !s.isClosed(hog) || s.isClosed(first) {
		t.Error("the client with one connection had to go")
	}
	if err := accepted.Close(); err != nil {
		t.Fatal(err)
	}
	if err := accepted.Close(); err == nil {
		t.Error("closed twice without an error")
	}
	if s.Open() != 4 {
		t.Errorf("%d open", s.Open())
	}
}

func TestATrustedConnectionGivesWayLast(t *testing.T) {
	s := newServer(t, 3, 3)
	client, accepted := s.connect("127.0.0.1")
	TrustConn(accepted)
	for range 50 {
		s.connect("127.0.0.1")
		s.connect("127.0.0.9")
	}
	if s.isClosed(client) {
		t.Error("it is closed")
	}
	for range 3 {
		_, more := s.connect("127.0.0.1")
		TrustConn(more)
	}
	if s.Open() > 3 {
		t.Errorf("%d open", s.Open())
	}
}

func TestAClientIsAnAddressOrANetworkOfIPv6(t *testing.T) {
	for addr, want := range map[string]string{
		"10.1.2.3:80": "10.1.2.3/32", "[::ffff:10.1.2.3]:80": "10.1.2.3/32", "[2001:db8:1:2:3::4]:80": "2001:db8:1:2::/64", "[fe80::1%eth0]:80": "fe80::/64",
		"pipe": "invalid Prefix",
	} {
		if got := ClientOf(textAddr(addr)).String(); got != want {
			t.Errorf("%s: got %s, want %s", addr, got, want)
		}
	}
}

type textAddr string

func (textAddr) Network() string  { return "tcp" }
func (a textAddr) String() string { return string(a) }
