package listen

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// The saved numbers of agents' messages: a magic text, a byte that is 1 if they were
// saved when the process ended, the number of agents, for each its id and highest
// number, and a SHA-256 checksum of all but that byte.
const (
	numbersMagic      = "pulse numbers 1\n"
	numbersHeaderSize = len(numbersMagic) + 1 + 4
	numbersEntrySize  = 4 + 8

	// NumbersFinal is the offset in the saved numbers of the byte that marks them as
	// final: 0 for no.
	NumbersFinal = len(numbersMagic)
)

// Numbers returns the highest counter of each agent, for [Config.Numbers] of the next
// process. Final marks them as complete: the link has ended.
func (l *Link) Numbers(final bool) []byte {
	known := l.registry.knownNumbers()
	b := make([]byte, numbersHeaderSize, numbersHeaderSize+numbersEntrySize*len(known)+sha256.Size)
	copy(b, numbersMagic)
	if final {
		b[NumbersFinal] = 1
	}
	binary.LittleEndian.PutUint32(b[NumbersFinal+1:], uint32(len(known)))
	for _, n := range known {
		b = binary.LittleEndian.AppendUint32(b, uint32(n.id))
		b = binary.LittleEndian.AppendUint64(b, n.highest)
	}
	return append(b, computeNumbersChecksum(b)...)
}

// knownNumber is the highest number of an agent's messages.
type knownNumber struct {
	id      detector.AgentID
	highest uint64
}

// knownNumbers returns the numbers of all agents, by id.
func (r *registry) knownNumbers() []knownNumber {
	r.mu.RLock()
	known := make([]knownNumber, 0, len(r.histories))
	for id, h := range r.histories {
		h.mu.Lock()
		known = append(known, knownNumber{id, h.highest})
		h.mu.Unlock()
	}
	r.mu.RUnlock()
	slices.SortFunc(known, func(a, b knownNumber) int { return cmp.Compare(a.id, b.id) })
	return known
}

// computeNumbersChecksum returns the checksum of all but the byte that is written in place.
func computeNumbersChecksum(b []byte) []byte {
	text := slices.Clone(b)
	text[NumbersFinal] = 0
	sum := sha256.Sum256(text)
	return sum[:]
}

// restoreNumbers merges saved numbers, the highest of each agent. If they are damaged,
// it ignores them all and marks every agent as unsure.
func (r *registry) restoreNumbers(b []byte) error {
	if len(b) < numbersHeaderSize+sha256.Size || string(b[:len(numbersMagic)]) != numbersMagic {
		r.markAllUnsure()
		return errors.New("it is no file of agents' message numbers")
	}
	text, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	count := binary.LittleEndian.Uint32(text[NumbersFinal+1:])
	if want := numbersHeaderSize + int(count)*numbersEntrySize; len(text) != want || !slices.Equal(sum, computeNumbersChecksum(text)) {
		r.markAllUnsure()
		return fmt.Errorf("its %d bytes are damaged", len(b))
	}
	final := text[NumbersFinal] == 1
	for rest := text[numbersHeaderSize:]; len(rest) > 0; rest = rest[numbersEntrySize:] {
		id := detector.AgentID(binary.LittleEndian.Uint32(rest))
		h := r.histories[id]
		if h == nil {
			h = new(history)
			r.histories[id] = h
		}
		h.highest = max(h.highest, binary.LittleEndian.Uint64(rest[4:]))
	}
	if !final {
		r.markAllUnsure()
	}
	return nil
}

// markAllUnsure records that any agent may have sent messages that are not known.
func (r *registry) markAllUnsure() {
	r.unsure = true
	for _, h := range r.histories {
		h.unsure = true
	}
}

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
