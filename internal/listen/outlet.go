package listen

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// outletLimit bounds what is kept for a peer that does not read: some 100
	// acknowledgements more than its socket holds.
	outletLimit = 8 << 10
	// drainTime is how long a peer may take to read a part of what is kept.
	drainTime = 30 * time.Second
)

// outlet writes to a socket without making its callers wait. What the socket does
// not take at once is kept, up to a limit, until it takes more. It also owns the
// socket's end: nobody uses its number after that, when it may be another's.
type outlet struct {
	fd   int
	wake func(bool) // asks to be told when the socket takes more, or not any more

	stuck atomic.Int64 // since when nothing of kept was taken: Unix time, nanoseconds; 0 while nothing is kept

	mu     sync.Mutex
	kept   []byte
	broken error         // why it ends
	done   chan struct{} // closed with broken; nil until somebody waits for that
	closed bool
}

// write hands b to the socket. After an error, the connection is of no use.
func (o *outlet) write(b []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken != nil {
		return o.broken
	}
	waiting := len(o.kept) > 0
	if !waiting {
		n, err := o.try(b)
		if err != nil {
			return o.fail(err)
		}
		b = b[n:]
	}
	if len(b) == 0 {
		return nil
	}
	if len(o.kept)+len(b) > outletLimit {
		return o.fail(refuse(tooSlow, fmt.Errorf("it does not read: %d bytes wait for it", len(o.kept)+len(b))))
	}
	o.kept = append(o.kept, b...)
	if !waiting {
		o.stuck.Store(time.Now().UnixNano())
		o.wake(true)
	}
	return nil
}

// try writes what the socket takes at once.
func (o *outlet) try(b []byte) (int, error) {
	for {
		n, err := unix.Write(o.fd, b)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return 0, nil
		default:
			return max(n, 0), err
		}
	}
}

// drain writes of what is kept as much as the socket takes.
func (o *outlet) drain() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken != nil || len(o.kept) == 0 {
		return
	}
	n, err := o.try(o.kept)
	if err != nil {
		_ = o.fail(err)
		return
	}
	if n > 0 {
		o.stuck.Store(time.Now().UnixNano())
	}
	if o.kept = o.kept[n:]; len(o.kept) == 0 {
		o.kept = nil
		o.stuck.Store(0)
		o.wake(false)
	}
}

// late reports whether the peer has read nothing for too long.
func (o *outlet) late(now time.Time) bool {
	stuck := o.stuck.Load()
	return stuck != 0 && now.UnixNano()-stuck >= int64(drainTime)
}

// end begins the end of the connection, for a reason of which the first counts. Who
// reads from it is told by that, and closes it.
func (o *outlet) end(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.fail(err)
}

func (o *outlet) fail(err error) error {
	if o.broken == nil {
		o.broken = err
		if o.done != nil {
			close(o.done)
		}
		o.kept = nil
		o.stuck.Store(0)
		if !o.closed {
			_ = unix.Shutdown(o.fd, unix.SHUT_RDWR)
		}
	}
	return o.broken
}

// ended returns a channel that is closed when the connection ends.
func (o *outlet) ended() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done == nil {
		o.done = make(chan struct{})
		if o.broken != nil {
			close(o.done)
		}
	}
	return o.done
}

// reason is why the connection ends, if not for err.
func (o *outlet) reason(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken != nil {
		return o.broken
	}
	return err
}

// close closes the socket.
func (o *outlet) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	_ = o.fail(net.ErrClosed)
	if !o.closed {
		o.closed = true
		_ = unix.Close(o.fd)
	}
}

// gone says whether an error means that the connection is no more.
func gone(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
}

var errSlow = refuse(tooSlow, fmt.Errorf("it read nothing for %v", drainTime))
