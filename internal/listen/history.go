package listen

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// windowSize is by how many numbers messages may overtake each other. Over UDP
// the network turns some around, and an agent's own threads do so over TCP too.
const windowSize = 64

// window says which of the newest numbers of a peer's messages were seen.
type window struct {
	newest uint64
	seen   uint64 // bit n: newest-n was seen
}

// newWindow returns the window of a peer whose first message has the number n.
// What came before it counts as seen.
func newWindow(n uint64) window { return window{newest: n, seen: ^uint64(0)} }

// accept reports whether a message is new: higher than the newest by no more than
// ahead, or within the window and not seen before. It notes the message then.
func (w *window) accept(n, ahead uint64) bool {
	switch {
	case n > w.newest:
		if n-w.newest > ahead {
			return false
		}
		w.seen = w.seen<<(n-w.newest) | 1
		w.newest = n
	case w.newest-n < windowSize && w.seen&(1<<(w.newest-n)) == 0:
		w.seen |= 1 << (w.newest - n)
	default:
		return false
	}
	return true
}

// history is what is remembered of an agent's messages, also while it is away.
type history struct {
	mu        sync.Mutex
	highest   uint64 // number of all its messages that decrypted: whoever listened has none that is higher
	proofs    uint32 // questions that it has answered
	unsure    bool   // it may have sent higher numbers in an earlier life of the node
	startup   bool   // there was a startup that proved nothing
	keepAlive bool   // there was a keep-alive that proved nothing

	home netip.Addr // the network it was last in; guarded by the registry
}

// raiseHighest notes the number of a message that decrypted, and reports whether it is
// higher than all before.
func (h *history) raiseHighest(n uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n <= h.highest {
		return false
	}
	h.highest = n
	return true
}

// isUnsure reports whether a higher number may be an old one.
func (h *history) isUnsure() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unsure
}

// holdBack remembers what a message said that proved nothing.
func (h *history) holdBack(what content) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.startup = h.startup || what == aStartup
	h.keepAlive = h.keepAlive || what == aKeepAlive
}

// countProof takes that the agent has answered a question, and returns what was held
// back until then. The question is of no use any more.
func (h *history) countProof() (startup, keepAlive bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	startup, keepAlive = h.startup, h.keepAlive
	h.proofs++
	h.unsure, h.startup, h.keepAlive = false, false, false
	return startup, keepAlive
}

// isNew reports whether a message of the peer's agent is none that was sent
// before. Its is true for one that came on the peer's own connection, or from its
// address. For the peer's reader.
func (l *Link) isNew(p *peer, n secmsg.Counter, its bool) bool {
	if !l.verify {
		return true
	}
	if p.history.raiseHighest(n.Number()) {
		p.window.accept(n.Number(), ^uint64(0))
		return true
	}
	ahead := ^uint64(0) // nobody else can write into the connection
	if p.conn == nil {
		ahead = windowSize
	}
	return its && p.window.accept(n.Number(), ahead)
}

func staleMessage(p *peer, n secmsg.Counter) error {
	return refuseAs(p.id.String(), staleCounter, fmt.Errorf("agent %s: message %d:%d is not newer than all before, and proves nothing until it has answered a question",
		p.id, n.Global, n.Local))
}
