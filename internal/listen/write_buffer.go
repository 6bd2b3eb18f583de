package listen

import (
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/rawio"
	"golang.org/x/sys/unix"
)

const (
	// maxPending bounds the output that waits for a peer that does not read: some 100
	// acknowledgements more than its socket holds.
	maxPending = 8 << 10
	// drainTimeout is how long a peer may take to read any of the pending output.
	drainTimeout = 30 * time.Second
)

// writeBuffer writes to a socket without blocking its callers. It holds what the socket
// does not accept at once, up to a limit, until the socket is writable. It also owns
// closing the socket: the descriptor is not used after that, as it may be reused.
type writeBuffer struct {
	fd         int
	setWaiting func(bool) // starts or stops waiting until the socket is writable

	stuckSince atomic.Int64 // since when the socket accepted nothing: Unix time, nanoseconds; 0 while nothing is pending

	mu      sync.Mutex
	pending []byte
	endErr  error         // why the connection ended; nil while it has not
	done    chan struct{} // closed when endErr is set; nil until endSignal is called
	closed  bool
}

// writeOrQueue writes b to the socket, or holds it as pending. An error ends the connection.
func (w *writeBuffer) writeOrQueue(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.endErr != nil {
		return w.endErr
	}
	waiting := len(w.pending) > 0
	if !waiting {
		n, err := w.writeSocket(b)
		if err != nil {
			return w.endConnLocked(err)
		}
		b = b[n:]
	}
	if len(b) == 0 {
		return nil
	}
	if len(w.pending)+len(b) > maxPending {
		return w.endConnLocked(refuse(tooSlow, fmt.Errorf("it does not read: %d bytes wait for it", len(w.pending)+len(b))))
	}
	w.pending = append(w.pending, b...)
	if !waiting {
		w.stuckSince.Store(time.Now().UnixNano())
		w.setWaiting(true)
	}
	return nil
}

// writeSocket writes as much as the socket accepts at once.
func (w *writeBuffer) writeSocket(b []byte) (int, error) {
	n, err := rawio.Write(w.fd, b)
	if err == unix.EAGAIN {
		return 0, nil
	}
	return n, err
}

// flushPendingOutput writes as much of the pending output as the socket accepts.
func (w *writeBuffer) flushPendingOutput() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.endErr != nil || len(w.pending) == 0 {
		return
	}
	n, err := w.writeSocket(w.pending)
	if err != nil {
		_ = w.endConnLocked(err)
		return
	}
	if n > 0 {
		w.stuckSince.Store(time.Now().UnixNano())
	}
	if w.pending = w.pending[n:]; len(w.pending) == 0 {
		w.pending = nil
		w.stuckSince.Store(0)
		w.setWaiting(false)
	}
}

// isStuck reports whether the peer has read nothing for the drainTimeout.
func (w *writeBuffer) isStuck(now time.Time) bool {
	stuck := w.stuckSince.Load()
	return stuck != 0 && now.UnixNano()-stuck >= int64(drainTimeout)
}

// endConn shuts the socket down, for a reason of which the first counts. The goroutine
// that reads from the socket notices that, and closes it.
func (w *writeBuffer) endConn(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.endConnLocked(err)
}

func (w *writeBuffer) endConnLocked(err error) error {
	if w.endErr == nil {
		w.endErr = err
		if w.done != nil {
			close(w.done)
		}
		w.pending = nil
		w.stuckSince.Store(0)
		if !w.closed {
			_ = unix.Shutdown(w.fd, unix.SHUT_RDWR)
		}
	}
	return w.endErr
}

// endSignal returns a channel that is closed when the connection ends.
func (w *writeBuffer) endSignal() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done == nil {
		w.done = make(chan struct{})
		if w.endErr != nil {
			close(w.done)
		}
	}
	return w.done
}

func (w *writeBuffer) endReason(err error) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.endErr != nil {
		return w.endErr
	}
	return err
}

func (w *writeBuffer) closeSocket() {
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = w.endConnLocked(net.ErrClosed)
	if !w.closed {
		w.closed = true
		_ = unix.Close(w.fd)
	}
}

// isConnGone reports whether an error means that the connection is closed.
func isConnGone(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET)
}

var errSlow = refuse(tooSlow, fmt.Errorf("it read nothing for %v", drainTimeout))
