package listen

import (
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// Two machines with one key cannot be told from one that has lost its connection without the
// link knowing, until the first connection shows a sign of life some time after the second
// one was refused.
const (
	// rivalDelay is that time, in closeTimeouts: what was under way on a connection that its
	// agent has given up has arrived by then.
	rivalDelay = 5
	// rivalLifetime is for how long a refused connection is remembered.
	rivalLifetime = 2 * time.Minute
)

// rival is a connection that has shown an agent's key and was refused, since the agent has another one.
type rival struct {
	from  netip.AddrPort
	since detector.Instant
}

// addRival remembers that a connection was refused because of p. What is not proven to be no
// recording shows nothing.
func (p *peer) addRival(other *peer, now detector.Instant) {
	if !other.isProven {
		return
	}
	if r := p.rival.Load(); r != nil && r.from.Addr() == other.from.Addr() && now.Sub(r.since) < rivalLifetime {
		return
	}
	p.rival.Store(&rival{other.from, now})
}

// reportRival reports that another machine has the agent's key, if one was refused some time
// before a sign of life of this one.
func (l *Link) reportRival(p *peer) {
	r := p.rival.Load()
	if r == nil {
		return
	}
	ago := l.clock.Now().Sub(r.since)
	if ago < rivalDelay*l.registry.closeTimeout || !p.rival.CompareAndSwap(r, nil) {
		return
	}
	if ago < rivalLifetime && l.onDuplicated != nil {
		l.onDuplicated(p.id, p.from.Addr(), r.from.Addr())
	}
}
