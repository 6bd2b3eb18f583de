package agentsim

import (
	"encoding/binary"
	"fmt"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

const (
	lengthSize = 4 // of the length before a message over TCP

	// The buffer of an idle agent. The manager's usual messages have 80 to 160
	// bytes; over TCP the buffer grows for a longer one.
	streamBuffer = 512
	// A datagram has to fit at once; a longer one is cut off and does not decode.
	// A stock manager sends shared files in pieces under 1 KiB.
	datagramBuffer = 4096
)

var errTooLong = fmt.Errorf("message over %d bytes", secmsg.MaxMessage)

// frameBuffer splits what a connection delivers into messages.
type frameBuffer struct {
	buf    []byte
	n      int // bytes of buf that are filled
	stream bool
}

func newFrameBuffer(stream bool) frameBuffer {
	if stream {
		return frameBuffer{buf: make([]byte, streamBuffer), stream: true}
	}
	return frameBuffer{buf: make([]byte, datagramBuffer)}
}

// freeSpace returns the part of the buffer to read into. It is never empty.
func (in *frameBuffer) freeSpace() []byte { return in.buf[in.n:] }

// eachFrame adds n bytes that were read into freeSpace and calls yield with
// each whole message until yield returns a reason to end. A partial message
// stays for the next call.
func (in *frameBuffer) eachFrame(n int, yield func([]byte) endReason) (endReason, error) {
	if !in.stream {
		return yield(in.buf[:n]), nil
	}
	in.n += n
	rest := in.buf[:in.n]
	need := 0
	for len(rest) >= lengthSize {
		size := binary.LittleEndian.Uint32(rest)
		if size > secmsg.MaxMessage {
			return notEnded, errTooLong
		}
		need = lengthSize + int(size)
		if len(rest) < need {
			break
		}
		if end := yield(rest[lengthSize:need]); end != notEnded {
			return end, nil
		}
		rest, need = rest[need:], 0
	}
	in.keepPartial(rest, need)
	return notEnded, nil
}

// keepPartial moves a partial message of need bytes to the front of a buffer
// that fits it. It returns to a small buffer when it can.
func (in *frameBuffer) keepPartial(rest []byte, need int) {
	to := in.buf
	if want := max(need, streamBuffer); want > len(to) || len(rest) == 0 && want < len(to) {
		to = make([]byte, want)
	}
	in.n = copy(to, rest)
	in.buf = to
}
