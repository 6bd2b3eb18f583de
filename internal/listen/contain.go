package listen

import (
	"fmt"
	"net/netip"
	"runtime/debug"
	"sync"
	"time"
)

// containPanic runs f, which serves one peer. A panic in it is an error for that peer
// alone: it is counted, and logged with its stack.
func (l *Link) containPanic(from netip.AddrPort, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			l.count.panics.Add(1)
			l.panics.log(l, from, v, debug.Stack())
			err = &panicError{v}
		}
	}()
	return f()
}

// panicError is the error of a peer that made the link panic.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// panicLog logs the first panic, and then one a noticePeriod with the number of
// those in between.
type panicLog struct {
	mu     sync.Mutex
	last   time.Time
	silent int
}

func (p *panicLog) log(l *Link, from netip.AddrPort, value any, stack []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if !p.last.IsZero() && now.Sub(p.last) < noticePeriod {
		p.silent++
		return
	}
	l.log.Error("a fault in Pulse ended a peer's connection: please report it", "peer", from, "panic", fmt.Sprint(value),
		"stack", string(stack), "others_since_last", p.silent)
	p.last, p.silent = now, 0
}

// withCodec runs f with a codec of the pool. One that a panic may have left in the
// middle of something is not put back.
func withCodec(f func(*codec) error) error {
	c := codecs.Get().(*codec)
	err := f(c)
	codecs.Put(c)
	return err
}
