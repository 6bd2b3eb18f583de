package outbox

import (
	"maps"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// tailRoom is for how many bytes of messages a tail has room.
const tailRoom = 4 << 20

// tail is the end of a local stream in memory, for the forwarder. While it keeps
// up, it need not read what was just written: that would take more processor time
// than all else, and the server holds blocks of 8 MiB that somebody reads for ten
// seconds. What has no room any more is read from the stream.
type tail struct {
	room int

	mu   sync.Mutex
	msgs []Stored // without gaps up to end
	size int      // of msgs, in bytes
	end  uint64   // the stream's last message
	more chan struct{}
}

func newTail(room int, end uint64) *tail {
	return &tail{room: room, end: end, more: make(chan struct{})}
}

// add takes what was stored, up to the sequence last. With nothing to take, the
// stream's end is known to be there.
func (t *tail) add(msgs []*nats.Msg, last uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	first := last - uint64(len(msgs)) + 1
	if t.end+1 != first || len(msgs) == 0 {
		t.drop(len(t.msgs))
	}
	for i, m := range msgs {
		t.msgs = append(t.msgs, Stored{Seq: first + uint64(i), Subject: m.Subject, Header: forwardHeader(m.Header), Data: m.Data})
		t.size += len(m.Data)
	}
	over := 0
	for size := t.size; size > t.room; over++ {
		size -= len(t.msgs[over].Data)
	}
	t.drop(over)
	t.end = last
	close(t.more)
	t.more = make(chan struct{})
}

// drop forgets the first n.
func (t *tail) drop(n int) {
	for i := range n {
		t.size -= len(t.msgs[i].Data)
	}
	clear(t.msgs[:n]) // the array behind stays for a while
	t.msgs = t.msgs[n:]
}

// after returns what comes after seq, at most limit, and forgets what does not:
// nothing if it is not here any more. It returns also the stream's end, and what is
// closed when that changes.
func (t *tail) after(seq uint64, limit int) (msgs []Stored, end uint64, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.msgs); n > 0 && seq >= t.msgs[0].Seq {
		t.drop(min(n, int(seq-t.msgs[0].Seq)+1))
	}
	if len(t.msgs) > 0 && t.msgs[0].Seq == seq+1 {
		n := min(limit, len(t.msgs))
		msgs = append(msgs, t.msgs[:n]...)
	}
	return msgs, t.end, t.more
}

// first is the first message that is here, or else the one that will come next.
func (t *tail) first() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.msgs) > 0 {
		return t.msgs[0].Seq
	}
	return t.end + 1
}

// last is the stream's end.
func (t *tail) last() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end
}

// forwardHeader is without what is said to the local stream only.
func forwardHeader(h nats.Header) nats.Header {
	if _, ok := h[jetstream.ExpectedLastMsgIDHeader]; ok {
		h = maps.Clone(h)
		delete(h, jetstream.ExpectedLastMsgIDHeader)
	}
	return h
}
