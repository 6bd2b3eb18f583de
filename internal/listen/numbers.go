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

// The saved numbers of agents' messages: a mark, a byte that is 1 if they are those
// at the end of a life of the node, the number of agents, for each its id and
// highest number, and a sum of all but that byte.
const (
	numbersMark  = "pulse numbers 1\n"
	numbersHead  = len(numbersMark) + 1 + 4
	numbersEntry = 4 + 8

	// NumbersFinal is where in the saved numbers the byte is that says whether they are
	// final: 0 for no.
	NumbersFinal = len(numbersMark)
)

// Numbers returns what the link knows of agents' counters, for [Config.Numbers] in
// the next life of the node. Final says that the link has ended.
func (l *Link) Numbers(final bool) []byte {
	known := l.registry.numbersKnown()
	b := make([]byte, numbersHead, numbersHead+numbersEntry*len(known)+sha256.Size)
	copy(b, numbersMark)
	if final {
		b[NumbersFinal] = 1
	}
	binary.LittleEndian.PutUint32(b[NumbersFinal+1:], uint32(len(known)))
	for _, n := range known {
		b = binary.LittleEndian.AppendUint32(b, uint32(n.id))
		b = binary.LittleEndian.AppendUint64(b, n.highest)
	}
	return append(b, numbersSum(b)...)
}

// knownNumber is the highest number of an agent's messages.
type knownNumber struct {
	id      detector.AgentID
	highest uint64
}

// numbersKnown returns the numbers of all agents, by id.
func (r *registry) numbersKnown() []knownNumber {
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

// numbersSum is over all but the byte that is written in place.
func numbersSum(b []byte) []byte {
	text := slices.Clone(b)
	text[NumbersFinal] = 0
	sum := sha256.Sum256(text)
	return sum[:]
}

// restoreNumbers takes saved numbers, the highest of each agent. If they are damaged,
// nothing of them is taken, and all agents have to be asked.
func (r *registry) restoreNumbers(b []byte) error {
	if len(b) < numbersHead+sha256.Size || string(b[:len(numbersMark)]) != numbersMark {
		r.doubtAll()
		return errors.New("it is no file of agents' message numbers")
	}
	text, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	count := binary.LittleEndian.Uint32(text[NumbersFinal+1:])
	if want := numbersHead + int(count)*numbersEntry; len(text) != want || !slices.Equal(sum, numbersSum(text)) {
		r.doubtAll()
		return fmt.Errorf("its %d bytes are damaged", len(b))
	}
	final := text[NumbersFinal] == 1
	for rest := text[numbersHead:]; len(rest) > 0; rest = rest[numbersEntry:] {
		id := detector.AgentID(binary.LittleEndian.Uint32(rest))
		h := r.histories[id]
		if h == nil {
			h = new(history)
			r.histories[id] = h
		}
		h.highest = max(h.highest, binary.LittleEndian.Uint64(rest[4:]))
	}
	if !final {
		r.doubtAll()
	}
	return nil
}

// doubtAll takes it that any agent may have sent messages that are not known.
func (r *registry) doubtAll() {
	r.unsure = true
	for _, h := range r.histories {
		h.unsure = true
	}
}
