package outbox

import "sort"

// progress knows which messages of a stream are settled: all up to low, and
// those behind it that settled before their turn.
type progress struct {
	low   uint64
	high  uint64 // the last that was read
	slots []slot // what was read after low, rising
	live  int    // slots that are not settled
}

type slot struct {
	seq  uint64
	done bool
}

// add takes a message that was read. They come in order.
func (p *progress) add(seq uint64) {
	if len(p.slots) == 0 {
		p.low = seq - 1 // what is missing in between is gone
	}
	p.slots = append(p.slots, slot{seq: seq})
	p.high = seq
	p.live++
}

// settleSequence takes a message that is done with.
func (p *progress) settleSequence(seq uint64) {
	i := sort.Search(len(p.slots), func(i int) bool { return p.slots[i].seq >= seq })
	if i == len(p.slots) || p.slots[i].seq != seq || p.slots[i].done {
		return
	}
	p.slots[i].done = true
	p.live--
	if i > 0 {
		if len(p.slots) > 2*p.live+1024 {
			p.compact()
		}
		return
	}
	n := 0
	for n < len(p.slots) && p.slots[n].done {
		n++
	}
	if n == len(p.slots) {
		p.low, p.slots = p.high, p.slots[:0]
		return
	}
	p.low, p.slots = p.slots[n].seq-1, p.slots[n:]
}

// compact forgets what is settled before its turn.
func (p *progress) compact() {
	rest := make([]slot, 0, p.live)
	for _, s := range p.slots {
		if !s.done {
			rest = append(rest, s)
		}
	}
	p.slots = rest
}

// early reports whether messages behind low are settled.
func (p *progress) early() bool { return p.high-p.low > uint64(p.live) }
