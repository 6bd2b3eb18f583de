package seal

import "fmt"

// replayWindow is which sequences of a node's epoch were accepted in one of its streams,
// from the highest back. Its bits are a ring.
type replayWindow struct {
	epoch   uint64 // 0 before any message
	first   uint64 // sequences before it are not missing
	highest uint64
	seen    []uint64
}

// check accepts a sequence, or refuses it and changes nothing.
func (l *replayWindow) check(epoch, sequence uint64, window int) (p GuardResult, err error) {
	switch {
	case epoch < l.epoch:
		return p, fmt.Errorf("%w: its epoch %d was over before epoch %d", ErrReplayed, epoch, l.epoch)
	case epoch > l.epoch:
		p.NewEpoch = true
		l.startEpoch(epoch, sequence, window)
	case sequence > l.highest:
		l.moveTo(sequence)
	case sequence < l.lowest():
		return p, fmt.Errorf("%w: sequence %d is behind the window, at %d", ErrReplayed, sequence, l.highest)
	case l.wasSeen(sequence):
		return p, fmt.Errorf("%w: sequence %d of epoch %d", ErrReplayed, sequence, epoch)
	default:
		p.Late = true
	}
	l.markSeen(sequence)
	return p, nil
}

// startEpoch begins an epoch. Of a node that is known already, the messages from sequence
// 1 on are expected.
func (l *replayWindow) startEpoch(epoch, sequence uint64, window int) {
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

// moveTo moves the window's end, and clears what gets into it.
func (l *replayWindow) moveTo(sequence uint64) {
	if sequence-l.highest >= l.size() {
		clear(l.seen)
	} else {
		for q := l.highest + 1; q <= sequence && q != 0; {
			if q%64 == 0 && sequence-q >= 64 {
				l.seen[q%l.size()/64] = 0
				q += 64
				continue
			}
			l.seen[q%l.size()/64] &^= 1 << (q % 64)
			q++
		}
	}
	l.highest = sequence
}

func (l *replayWindow) size() uint64 { return uint64(len(l.seen)) * 64 }

// lowest returns the lowest sequence in the window.
func (l *replayWindow) lowest() uint64 {
	if l.highest < l.size() {
		return 1
	}
	return l.highest - l.size() + 1
}

// wasSeen reports whether a sequence in the window was accepted.
func (l *replayWindow) wasSeen(q uint64) bool {
	return q <= l.highest && q >= l.lowest() && l.seen[q%l.size()/64]&(1<<(q%64)) != 0
}

func (l *replayWindow) markSeen(q uint64) { l.seen[q%l.size()/64] |= 1 << (q % 64) }
