package listen

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
	"time"
)

const (
	// outletLimit bounds what is kept for a peer that does not read: some 100
	// acknowledgements more than its socket holds.
	outletLimit = 8 << 10
	// drainTime is how long a peer may take to read a part of what is kept.
	drainTime = 30 * time.Second
)

// outlet writes to a connection without making its callers wait. What the
// socket does not take at once is kept, up to a limit, and written by a
// goroutine that lives only as long as something is kept.
type outlet struct {
	conn net.Conn
	raw  syscall.RawConn
	spin func(func()) bool // starts a goroutine that the link waits for

	mu       sync.Mutex
	kept     []byte
	draining bool
	broken   error
}

// write hands b to the socket. After an error, the connection is of no use.
func (o *outlet) write(b []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.broken != nil {
		return o.broken
	}
	if !o.draining {
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
	if !o.draining {
		o.draining = o.spin(o.drain)
	}
	return nil
}

// try writes what the socket takes at once.
func (o *outlet) try(b []byte) (n int, err error) {
	wrapped := o.raw.Write(func(fd uintptr) bool {
		for {
			n, err = syscall.Write(int(fd), b)
			if !errors.Is(err, syscall.EINTR) {
				return true
			}
		}
	})
	if errors.Is(err, syscall.EAGAIN) {
		return 0, nil
	}
	if wrapped != nil {
		return 0, wrapped
	}
	return max(n, 0), err
}

// drain writes what is kept until nothing is.
func (o *outlet) drain() {
	for {
		o.mu.Lock()
		b := o.kept
		o.kept = nil
		if len(b) == 0 || o.broken != nil {
			_ = o.conn.SetWriteDeadline(time.Time{}) // it would end what is written at any later time too
			o.draining = false
			o.mu.Unlock()
			return
		}
		o.mu.Unlock()
		err := o.conn.SetWriteDeadline(time.Now().Add(drainTime))
		if err == nil {
			_, err = o.conn.Write(b)
		}
		if err != nil {
			o.mu.Lock()
			if ne, ok := errors.AsType[net.Error](err); ok && ne.Timeout() {
				err = refuse(tooSlow, fmt.Errorf("it read nothing for %v", drainTime))
			}
			_ = o.fail(err)
			o.mu.Unlock()
		}
	}
}

// fail ends the connection, and with it the goroutine that reads from it.
func (o *outlet) fail(err error) error {
	if o.broken == nil {
		o.broken = err
		o.kept = nil
		_ = o.conn.Close()
	}
	return o.broken
}

// failure is why the outlet broke, nil if it did not.
func (o *outlet) failure() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.broken
}
