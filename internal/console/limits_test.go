package console

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/connlimit"
)

func TestTheOldestStreamOfTheClientWithTheMostGivesWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		hog, admin := netip.MustParsePrefix("10.0.0.66/32"), netip.MustParsePrefix("10.0.0.1/32")
		var s subscriptions
		ended := map[int]bool{}
		add := func(client netip.Prefix, n int) *subscription {
			time.Sleep(time.Millisecond) // none is as old as another
			return s.addSubscription(client, func() { ended[n] = true })
		}
		for i := range maxPerClient {
			if add(hog, i) == nil {
				t.Fatalf("stream %d is refused", i)
			}
		}
		if add(hog, 1000) != nil || len(ended) > 0 {
			t.Error("one client has more than its share")
		}
		for i := range maxSubscriptions - maxPerClient {
			if add(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}), 32), 100+i) == nil {
				t.Fatalf("another client's stream %d is refused", i)
			}
		}
		if add(admin, 2000) != nil {
			t.Error("a new stream pushes a new one out")
		}
		time.Sleep(minSubscriptionTime)
		place := add(admin, 2001)
		if place == nil || !ended[0] || len(ended) != 1 {
			t.Errorf("the admin's stream: %v; ended %v", place, ended)
		}
		if add(hog, 3000) == nil || s.countOpenSubscriptions() != maxSubscriptions || !ended[1] { // in the place of one of its own
			t.Errorf("%d streams, ended %v", s.countOpenSubscriptions(), ended)
		}
		s.removeSubscription(place)
		if s.countOpenSubscriptions() != maxSubscriptions-1 {
			t.Errorf("%d streams", s.countOpenSubscriptions())
		}
	})
}

// openConnections opens connections from an address, and sends nothing, or the beginning of a request.
func openConnections(t *testing.T, s *fixture, from string, n int, text string) {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	for range n {
		c, err := d.Dial("tcp", s.url[len("http://"):])
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, text); err != nil {
			continue // it had to give way
		}
	}
}

func TestIdleConnectionsLockNobodyOutOfTheConsole(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"silent": "", "a header that does not end": "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
		"kept open": "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := openFixture(t, 1)
			for _, from := range []string{"127.0.0.1", "127.0.0.66", "127.0.0.67"} {
				openConnections(t, s, from, maxConnections/2+20, text)
			}
			if answer, _ := s.sendRequest(http.MethodGet, "/api/v1/status"); answer.StatusCode != http.StatusOK {
				t.Errorf("%s", answer.Status)
			}
		})
	}
}

// A stream of who has the token goes on, whatever strangers open.
func TestStrangersPushNobodyOutWhoHasTheToken(t *testing.T) {
	t.Parallel()
	limits := connlimit.Limits{Total: 4, PerClient: 4}
	_, shown := withToken(t)
	s := openFixture(t, 1, shown)
	server, err := New(s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	bare, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.http.Serve(connlimit.NewListener(bare, limits)) }()
	defer func() { server.Close(); <-served }()
	s.url = "http://" + bare.Addr().String()
	l := s.openEvents("", "Authorization", "Bearer "+token)
	l.nextEvent("hello")
	openConnections(t, s, "127.0.0.1", 20, "")
	s.addEvents(1)
	if events, _ := l.nextChanges(); len(events) != 1 {
		t.Errorf("%d events", len(events))
	}
}
