package listen

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/wazuh-pulse/pulse/internal/detector"
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
