package console

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/connlimit"
	"golang.org/x/time/rate"
)

const (
	connectionsMax   = 512 // at a time; fewer where the process may have few files
	connectionsShare = 8   // one file of so many may be a connection here: the others are for agents and the store
	streamsMax       = 64  // streams of events
	streamsPerClient = 48
	streamSecure     = 10 * time.Second // for so long, a stream does not give way to another
)

// connectionLimits leaves files for what else the node does.
func (s *Server) connectionLimits() connlimit.Limits {
	total := connectionsMax
	var files syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files); err == nil {
		total = int(min(uint64(total), max(files.Cur/connectionsShare, 16)))
	}
	logs := rate.Sometimes{Interval: time.Minute}
	return connlimit.Limits{Total: total, PerClient: total / 2, Closed: func(client netip.Prefix) {
		logs.Do(func() {
			s.cfg.Log.Warn("more connections to the console than there may be: those unused for longest are closed", "client", client, "at_most", total)
		})
	}}
}

type connectionKey struct{}

// withConnection lets a request find its connection.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// trustConnection keeps the connection of who has shown the token from giving way to others.
func trustConnection(r *http.Request) {
	if c, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
		connlimit.TrustConn(c)
	}
}

func clientOf(r *http.Request) netip.Prefix {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	return connlimit.ClientOfAddr(addr.Addr())
}

// stream is a client that follows the events.
type stream struct {
	client netip.Prefix
	since  time.Time
	end    context.CancelFunc
}

// streams are those there are. Where there are too many, the oldest of the client
// with the most gives way: its page goes on where it was, on another one.
type streams struct {
	mu   sync.Mutex
	open map[*stream]struct{}
}

func (s *streams) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// add returns a new stream, or nil where there are too many and none may give way yet.
func (s *streams) add(client netip.Prefix, end context.CancelFunc) *stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	perClient := make(map[netip.Prefix]int)
	for x := range s.open {
		perClient[x.client]++
	}
	if perClient[client] >= streamsPerClient || len(s.open) >= streamsMax {
		from := client
		if perClient[client] < streamsPerClient {
			for other, n := range perClient {
				if n > perClient[from] {
					from = other
				}
			}
		}
		victim := s.oldest(from)
		if victim == nil || now.Sub(victim.since) < streamSecure {
			return nil
		}
		victim.end()
		delete(s.open, victim)
	}
	if s.open == nil {
		s.open = make(map[*stream]struct{})
	}
	x := &stream{client, now, end}
	s.open[x] = struct{}{}
	return x
}

func (s *streams) oldest(client netip.Prefix) (oldest *stream) {
	for x := range s.open {
		if x.client == client && (oldest == nil || x.since.Before(oldest.since)) {
			oldest = x
		}
	}
	return oldest
}

func (s *streams) remove(x *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, x)
}
