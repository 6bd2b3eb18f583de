package listen

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// windowSize is by how many numbers messages may arrive out of order. The network
// reorders them over UDP, and an agent's own threads do so over TCP too.
const windowSize = 64

// counterWindow records which of the newest numbers of a peer's messages were received.
type counterWindow struct {
	newest uint64
	seen   uint64 // bit n: newest-n was received
}

// newCounterWindow returns the window of a peer whose first message has the number n.
// All numbers before it count as received.
func newCounterWindow(n uint64) counterWindow { return counterWindow{newest: n, seen: ^uint64(0)} }

// addIfNew reports whether a number is new: higher than the newest by no more than
// ahead, or within the window and not received before. It records a new one.
func (w *counterWindow) addIfNew(n, ahead uint64) bool {
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

// history is what is kept about an agent's messages, also while it is not connected.
type history struct {
	mu        sync.Mutex
	highest   uint64 // number of all its messages that decrypted: no recorded message has a higher one
	proofs    uint32 // questions that it has answered
	unsure    bool   // it may have sent higher numbers to an earlier process
	startup   bool   // an unproven startup was received
	keepAlive bool   // an unproven keep-alive was received

	network netip.Addr // the one it was last in; guarded by the registry
}

// raiseHighestNumber records the number of a message that decrypted, and reports whether it is
// higher than all before.
func (h *history) raiseHighestNumber(n uint64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n <= h.highest {
		return false
	}
	h.highest = n
	return true
}

// isHighestUnsure reports whether a message with a higher number may still be a replay.
func (h *history) isHighestUnsure() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.unsure
}

// recordUnprovenMessage records the type of a message that proved nothing.
func (h *history) recordUnprovenMessage(kind messageType) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.startup = h.startup || kind == startupMessage
	h.keepAlive = h.keepAlive || kind == keepAliveMessage
}

// recordProof records that the agent has answered a question, which invalidates the
// question, and returns which unproven messages were received until then.
func (h *history) recordProof() (startup, keepAlive bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	startup, keepAlive = h.startup, h.keepAlive
	h.proofs++
	h.unsure, h.startup, h.keepAlive = false, false, false
	return startup, keepAlive
}

// isNewMessage reports whether a message of the peer's agent is no replay. Own is true
// for one that came on the peer's own connection, or from its address. It must be called
// by the peer's reader.
func (l *Link) isNewMessage(p *peer, n secmsg.Counter, own bool) bool {
	if !l.verify {
		return true
	}
	if p.history.raiseHighestNumber(n.Number()) {
		p.window.addIfNew(n.Number(), ^uint64(0))
		return true
	}
	ahead := ^uint64(0) // only the agent can write into the connection
	if p.conn == nil {
		ahead = windowSize
	}
	return own && p.window.addIfNew(n.Number(), ahead)
}

func refuseStaleCounter(p *peer, n secmsg.Counter) error {
	return refuseAgentMessage(p.id.String(), staleCounter, fmt.Errorf(
		"agent %s: message %d:%d is not newer than all before, and proves nothing until it has answered a question", p.id, n.Global, n.Local))
}
