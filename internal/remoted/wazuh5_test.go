package remoted

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// With the listener for agents of Wazuh 4 off, as it may be in Wazuh 5, nobody is connected
// and there is no port. The answers are recorded.
func TestAListenerThatIsOffHasNoAgentsAndNoPort(t *testing.T) {
	if got, err := parseState([]byte("err Legacy delivery disabled")); got != NotConnected || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for answer, want := range map[string][]uint16{
		`{"error":0,"message":"ok","data":{"remote":[{"connection":"secure","ipv6":"no","queue_size":"131072","agents":{"allow_higher_versions":"no"},"connection_overtake_time":60}]}}`:                                                         nil,
		`{"error":0,"message":"ok","data":{"remote":[{"connection":"secure","ipv6":"no","local_ip":"127.0.0.1","protocol":["TCP"],"port":"1514","queue_size":"131072","agents":{"allow_higher_versions":"no"},"connection_overtake_time":60}]}}`: {1514},
		`{"error":7,"message":"Unrecognized or not configured section","data":{}}`: {defaultPort},
	} {
		s, _ := serveAnswer(t, answer).ReadSettings(t.Context(), time.Second)
		if !slices.Equal(s.Ports, want) {
			t.Errorf("%s: ports %v, want %v", answer, s.Ports, want)
		}
	}
}

// serveAnswer returns a client of a remoted that answers everything alike.
func serveAnswer(t *testing.T, answer string) *Client {
	t.Helper()
	home := makeHome(t)
	serveSocket(t, home.Path(wazuhsock.RequestSocket), answer)
	return NewClient(home)
}

func makeHome(t *testing.T) wazuhsock.Home {
	t.Helper()
	home, err := os.MkdirTemp("", "r5") // short, for the socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	if err := os.MkdirAll(filepath.Join(home, "queue/sockets"), 0o700); err != nil {
		t.Fatal(err)
	}
	return wazuhsock.Home(home)
}

// serveSocket answers everything at a socket alike until stop is called.
func serveSocket(t *testing.T, path, answer string) (stop func()) {
	t.Helper()
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			if _, err := wazuhsock.ReadFrame(conn); err == nil {
				_, _ = conn.Write(wazuhsock.AppendFrame(nil, answer))
			}
			_ = conn.Close()
		}
	})
	stop = func() { _ = l.Close(); work.Wait() }
	t.Cleanup(stop)
	return stop
}
