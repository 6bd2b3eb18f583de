package listen

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

const (
	lengthSize = 4
	// inletSize holds what most messages need: an agent's keep-alive is 270 bytes.
	inletSize = 512
	// strangerLimit bounds the first message of a connection: a startup is some
	// 110 bytes, and who has not shown a key yet gets no more memory than this.
	strangerLimit = 4 << 10
	// frameTime is how long the rest of a message may take to arrive, and the
	// first whole one on a new connection.
	frameTime = 10 * time.Second
)

// inlet reads length-prefixed frames from a connection. It is for one goroutine.
type inlet struct {
	conn   net.Conn
	small  [inletSize]byte
	lo, hi int  // what of small is read and not yet taken
	known  bool // it has shown a key
	armed  bool // the rest of a frame has a deadline
}

// open starts reading from a stranger, who has the frameTime to show a key.
func (in *inlet) open(conn net.Conn) {
	in.conn = conn
	_ = conn.SetReadDeadline(time.Now().Add(frameTime))
}

// welcome lifts what binds a stranger.
func (in *inlet) welcome() {
	in.known = true
	_ = in.conn.SetReadDeadline(time.Time{})
}

// next returns the next frame, valid until the call after. A frame may be
// awaited for any time, but once begun it has to be there within the frameTime.
func (in *inlet) next() ([]byte, error) {
	frame, err := in.frame()
	if in.armed {
		in.armed = false
		_ = in.conn.SetReadDeadline(time.Time{})
	}
	return frame, err
}

func (in *inlet) frame() ([]byte, error) {
	if err := in.fill(lengthSize); err != nil {
		return nil, err
	}
	limit := uint32(secmsg.MaxMessage)
	if !in.known {
		limit = strangerLimit
	}
	length := binary.LittleEndian.Uint32(in.small[in.lo:])
	if length > limit {
		return nil, refuse(oversized, fmt.Errorf("a message of %d bytes, where %d are the limit", length, limit))
	}
	size := int(length)
	if lengthSize+size > inletSize {
		in.lo += lengthSize
		return in.large(size)
	}
	if err := in.fill(lengthSize + size); err != nil {
		return nil, err
	}
	frame := in.small[in.lo+lengthSize : in.lo+lengthSize+size]
	in.lo += lengthSize + size
	return frame, nil
}

// fill makes at least n bytes available in small.
func (in *inlet) fill(n int) error {
	if in.lo == in.hi {
		in.lo, in.hi = 0, 0
	} else if in.lo+n > inletSize {
		in.hi = copy(in.small[:], in.small[in.lo:in.hi])
		in.lo = 0
	}
	for in.hi-in.lo < n {
		begun := in.hi > in.lo
		if begun {
			in.arm()
		}
		got, err := in.conn.Read(in.small[in.hi:])
		in.hi += got
		if err != nil && in.hi-in.lo < n {
			return failed(err, begun || got > 0)
		}
	}
	return nil
}

// large reads a frame that small has no room for. Memory grows with what
// arrives, not with what is promised.
func (in *inlet) large(size int) ([]byte, error) {
	frame := append(make([]byte, 0, min(size, 4*inletSize)), in.small[in.lo:in.hi]...)
	in.lo, in.hi = 0, 0
	in.arm()
	for len(frame) < size {
		if len(frame) == cap(frame) {
			frame = append(make([]byte, 0, min(size, 2*cap(frame))), frame...)
		}
		n, err := in.conn.Read(frame[len(frame):min(cap(frame), size)])
		frame = frame[:len(frame)+n]
		if err != nil && len(frame) < size {
			return nil, failed(err, true)
		}
	}
	return frame, nil
}

// arm sets the deadline for the rest of a frame. A stranger's runs already.
func (in *inlet) arm() {
	if in.known && !in.armed {
		in.armed = true
		_ = in.conn.SetReadDeadline(time.Now().Add(frameTime))
	}
}

// failed is why a frame did not come; begun says that a part of it did.
func failed(err error, begun bool) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(tooLate, fmt.Errorf("no whole message within %v", frameTime))
	case errors.Is(err, io.EOF) && begun:
		return refuse(notOurs, fmt.Errorf("it closed in the middle of a message"))
	}
	return err
}
