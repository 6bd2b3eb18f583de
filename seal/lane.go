package seal

import "fmt"

// lane is what was seen of a node's life in one of its streams: a window of
// sequences that ends at the highest. Its bits are a ring.
type lane struct {
	epoch   uint64 // 0 before any message
	first   uint64 // what came before it is not missing
	highest uint64
	seen    []uint64
}

// pass notes a sequence, or refuses it and changes nothing.
func (l *lane) pass(epoch, sequence uint64, window int) (p Passage, err error) {
	switch {
	case epoch < l.epoch:
		return p, fmt.Errorf("%w: its epoch %d was over before epoch %d", ErrReplayed, epoch, l.epoch)
	case epoch > l.epoch:
		p.NewEpoch = true
		l.begin(epoch, sequence, window)
	case sequence > l.highest:
		l.advance(sequence)
	case sequence < l.oldest():
		return p, fmt.Errorf("%w: sequence %d, or so long ago that nobody knows, at %d", ErrReplayed, sequence, l.highest)
	case l.has(sequence):
		return p, fmt.Errorf("%w: sequence %d of epoch %d", ErrReplayed, sequence, epoch)
	default:
		p.Late = true
	}
	l.set(sequence)
	return p, nil
}

// begin starts an epoch. Of a node that is known already, everything is due from
// sequence 1 on.
func (l *lane) begin(epoch, sequence uint64, window int) {
	l.first = sequence
	if l.epoch > 0 {
		l.first = 1
	}
	if l.seen == nil {
		l.seen = make([]uint64, window/64)
	}
	clear(l.seen)
	l.epoch, l.highest = epoch, sequence
}

// advance moves the window, and clears what gets into it.
func (l *lane) advance(sequence uint64) {
	if sequence-l.highest >= l.window() {
		clear(l.seen)
	} else {
		for q := l.highest + 1; q <= sequence && q != 0; {
			if q%64 == 0 && sequence-q >= 64 {
				l.seen[q%l.window()/64] = 0
				q += 64
				continue
			}
			l.seen[q%l.window()/64] &^= 1 << (q % 64)
			q++
		}
	}
	l.highest = sequence
}

func (l *lane) window() uint64 { return uint64(len(l.seen)) * 64 }

// oldest is the lowest sequence in the window.
func (l *lane) oldest() uint64 {
	if l.highest < l.window() {
		return 1
	}
	return l.highest - l.window() + 1
}

// has reports whether a sequence in the window was seen.
func (l *lane) has(q uint64) bool {
	return q <= l.highest && q >= l.oldest() && l.seen[q%l.window()/64]&(1<<(q%64)) != 0
}

func (l *lane) set(q uint64) { l.seen[q%l.window()/64] |= 1 << (q % 64) }
