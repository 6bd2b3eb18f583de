package agentsim

import (
	"encoding/binary"
	"fmt"

	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

const (
	lengthSize = 4 // of the length before a message over TCP

	// An idle agent keeps this much room for what it will read. The manager's
	// usual messages have 80 to 160 bytes; over TCP the room grows with a longer one.
	streamRoom = 512
	// A datagram has to fit at once; a longer one is cut off and does not decode.
	// A stock manager sends shared files in pieces under 1 KiB.
	datagramRoom = 4096
)

var errTooLong = fmt.Errorf("message over %d bytes", secmsg.MaxMessage)

// inbox cuts what a connection delivers into messages.
type inbox struct {
	buf    []byte
	n      int // bytes of buf that are filled
	stream bool
}

func newInbox(stream bool) inbox {
	if stream {
		return inbox{buf: make([]byte, streamRoom), stream: true}
	}
	return inbox{buf: make([]byte, datagramRoom)}
}

// space is where the next bytes from the connection belong. It is never empty.
func (in *inbox) space() []byte { return in.buf[in.n:] }

// frames adds n bytes read into space and calls yield with each whole message,
// until it is not to go on. A partial message stays for the next call.
func (in *inbox) frames(n int, yield func([]byte) ending) (ending, error) {
	if !in.stream {
		return yield(in.buf[:n]), nil
	}
	in.n += n
	rest := in.buf[:in.n]
	need := 0
	for len(rest) >= lengthSize {
		size := binary.LittleEndian.Uint32(rest)
		if size > secmsg.MaxMessage {
			return goOn, errTooLong
		}
		need = lengthSize + int(size)
		if len(rest) < need {
			break
		}
		if end := yield(rest[lengthSize:need]); end != goOn {
			return end, nil
		}
		rest, need = rest[need:], 0
	}
	in.keep(rest, need)
	return goOn, nil
}

// keep moves a partial message of need bytes to the front of a buffer that fits
// it, and no bigger than that for long.
func (in *inbox) keep(rest []byte, need int) {
	to := in.buf
	if want := max(need, streamRoom); want > len(to) || len(rest) == 0 && want < len(to) {
		to = make([]byte, want)
	}
	in.n = copy(to, rest)
	in.buf = to
}
