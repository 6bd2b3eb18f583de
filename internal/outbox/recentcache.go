package outbox

import (
	"maps"
	"slices"
	"sync"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// recentCacheMax is how many bytes of messages a cache holds.
const recentCacheMax = 4 << 20

// recentCache is the end of a local stream in memory, for one reader. While that keeps up, it need not read what was just written: that would need more processor time than
// all else, and the server holds blocks of 4 or 8 MiB for ten seconds after they are read.
// What is beyond maxBytes is read from the stream.
type recentCache struct {
	maxBytes int

	mu   sync.Mutex
	msgs []Stored // without gaps up to end
	size int      // of msgs, in bytes
	end  uint64   // the stream's last message
	more chan struct{}
}

func newRecentCache(room int, end uint64) *recentCache {
	return &recentCache{maxBytes: room, end: end, more: make(chan struct{})}
}

// addMessages adds what was stored, up to the sequence last. Without messages, it records
// the stream's end only.
func (t *recentCache) addMessages(msgs []Stored, last uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.addLocked(msgs, last)
}

func (t *recentCache) addLocked(msgs []Stored, last uint64) {
	if first := last - uint64(len(msgs)) + 1; t.end+1 != first || len(msgs) == 0 {
		t.dropFirst(len(t.msgs))
	}
	t.msgs = append(t.msgs, msgs...)
	for i := range msgs {
		t.size += len(msgs[i].Data)
	}
	over := 0
	for size := t.size; size > t.maxBytes; over++ {
		size -= len(t.msgs[over].Data)
	}
	t.dropFirst(over)
	t.end = last
	close(t.more)
	t.more = make(chan struct{})
}

// raiseEnd records that the stream has messages up to a sequence.
func (t *recentCache) raiseEnd(last uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.end < last {
		t.addLocked(nil, last)
	}
}

// dropFirst removes the first n messages.
func (t *recentCache) dropFirst(n int) {
	for i := range n {
		t.size -= len(t.msgs[i].Data)
	}
	clear(t.msgs[:n]) // the array behind stays for a while
	t.msgs = t.msgs[n:]
}

// messagesAfter returns what comes after seq, at most limit, and removes what does
// not: nothing if it is not here any more. It also returns the stream's end, and a
// channel that is closed when that changes.
func (t *recentCache) messagesAfter(seq uint64, limit int) (msgs []Stored, end uint64, more <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.msgs); n > 0 && seq >= t.msgs[0].Seq {
		t.dropFirst(min(n, int(seq-t.msgs[0].Seq)+1))
	}
	if len(t.msgs) > 0 && t.msgs[0].Seq == seq+1 {
		n := min(limit, len(t.msgs))
		msgs = append(msgs, t.msgs[:n]...)
	}
	return msgs, t.end, t.more
}

// firstSequence returns the sequence of the first message, or else of the one that comes next.
func (t *recentCache) firstSequence() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.msgs) > 0 {
		return t.msgs[0].Seq
	}
	return t.end + 1
}

// lastSequence returns the sequence of the stream's end.
func (t *recentCache) lastSequence() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.end
}

// recentCaches are those of a stream's readers.
type recentCaches struct {
	mu  sync.Mutex
	all []*recentCache
}

// attach adds a cache.
func (c *recentCaches) attach(t *recentCache) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, t)
}

// detach removes a cache.
func (c *recentCaches) detach(t *recentCache) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = slices.DeleteFunc(c.all, func(a *recentCache) bool { return a == t })
}

// addMessages adds what was stored to each cache, and removes from it what is meant for the
// local stream only. Without messages, they record the stream's end only.
func (c *recentCaches) addMessages(msgs []outgoing, last uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) == 0 {
		return
	}
	stored := make([]Stored, len(msgs))
	first := last - uint64(len(msgs)) + 1
	for i, m := range msgs {
		delete(m.Header, jetstream.ExpectedLastMsgIDHeader)
		stored[i] = Stored{Seq: first + uint64(i), Subject: m.Subject, Header: m.Header, Data: m.Data, Body: m.body}
	}
	for _, t := range c.all {
		t.addMessages(stored, last)
	}
}

// forwardHeader returns a header without what is meant for the local stream only.
func forwardHeader(h nats.Header) nats.Header {
	if _, ok := h[jetstream.ExpectedLastMsgIDHeader]; ok {
		h = maps.Clone(h)
		delete(h, jetstream.ExpectedLastMsgIDHeader)
	}
	return h
}
