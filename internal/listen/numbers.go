package listen

import (
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
	r := l.registry
	r.mu.RLock()
	defer r.mu.RUnlock()
	b := make([]byte, numbersHead, numbersHead+numbersEntry*len(r.histories)+sha256.Size)
	copy(b, numbersMark)
	for id, h := range r.histories {
		h.mu.Lock()
		highest := h.highest
		h.mu.Unlock()
		b = binary.LittleEndian.AppendUint32(b, uint32(id))
		b = binary.LittleEndian.AppendUint64(b, highest)
	}
	if final {
		b[NumbersFinal] = 1
	}
	binary.LittleEndian.PutUint32(b[NumbersFinal+1:], uint32((len(b)-numbersHead)/numbersEntry))
	return append(b, numbersSum(b)...)
}

// numbersSum is over all but the byte that is written in place.
func numbersSum(b []byte) []byte {
	text := slices.Clone(b)
	text[NumbersFinal] = 0
	sum := sha256.Sum256(text)
	return sum[:]
}

// restoreNumbers takes saved numbers. If they are damaged, nothing of them is taken.
func (r *registry) restoreNumbers(b []byte) error {
	if len(b) < numbersHead+sha256.Size || string(b[:len(numbersMark)]) != numbersMark {
		return errors.New("it is no file of agents' message numbers")
	}
	text, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	count := binary.LittleEndian.Uint32(text[NumbersFinal+1:])
	if want := numbersHead + int(count)*numbersEntry; len(text) != want || !slices.Equal(sum, numbersSum(text)) {
		return fmt.Errorf("its %d bytes are damaged", len(b))
	}
	final := text[NumbersFinal] == 1
	for rest := text[numbersHead:]; len(rest) > 0; rest = rest[numbersEntry:] {
		id := detector.AgentID(binary.LittleEndian.Uint32(rest))
		r.histories[id] = &history{highest: binary.LittleEndian.Uint64(rest[4:]), unsure: !final}
	}
	r.unsure = !final
	return nil
}
