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
	maxConnections      = 512 // fewer where the process may open few files
	connectionsShare    = 8   // at most this part of the process's files: others are for agents and the store
	maxSubscriptions    = 64  // streams of events
	maxPerClient        = 48
	minSubscriptionTime = 10 * time.Second // a stream is not closed for another before this age
)

// connectionLimits returns limits that leave files for the rest of the node.
func (s *Server) connectionLimits() connlimit.Limits {
	total := maxConnections
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

// withConnection adds the connection to the context of its requests.
func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connectionKey{}, c)
}

// markConnectionTrusted marks the connection of a client that has sent the token.
func markConnectionTrusted(r *http.Request) {
	if c, ok := r.Context().Value(connectionKey{}).(net.Conn); ok {
		connlimit.TrustConn(c)
	}
}

func clientNetworkOf(r *http.Request) netip.Prefix {
	addr, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Prefix{}
	}
	return connlimit.ClientOfAddr(addr.Addr())
}

// subscription is a client that follows the events.
type subscription struct {
	client netip.Prefix
	since  time.Time
	end    context.CancelFunc
}

// subscriptions are all that are open. Beyond the limits, the oldest of the client with
// the most is closed for a new one: its page reconnects and continues.
type subscriptions struct {
	mu   sync.Mutex
	open map[*subscription]struct{}
}

func (s *subscriptions) countOpenSubscriptions() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.open)
}

// addSubscription returns a new subscription, or nil if there are too many and none may
// be closed yet.
func (s *subscriptions) addSubscription(client netip.Prefix, end context.CancelFunc) *subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	perClient := make(map[netip.Prefix]int)
	for x := range s.open {
		perClient[x.client]++
	}
	if perClient[client] >= maxPerClient || len(s.open) >= maxSubscriptions {
		from := client
		if perClient[client] < maxPerClient {
			for other, n := range perClient {
				if n > perClient[from] {
					from = other
				}
			}
		}
		victim := s.oldestOfClient(from)
		if victim == nil || now.Sub(victim.since) < minSubscriptionTime {
			return nil
		}
		victim.end()
		delete(s.open, victim)
	}
	if s.open == nil {
		s.open = make(map[*subscription]struct{})
	}
	x := &subscription{client, now, end}
	s.open[x] = struct{}{}
	return x
}

func (s *subscriptions) oldestOfClient(client netip.Prefix) (oldest *subscription) {
	for x := range s.open {
		if x.client == client && (oldest == nil || x.since.Before(oldest.since)) {
			oldest = x
		}
	}
	return oldest
}

func (s *subscriptions) removeSubscription(x *subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, x)
}
