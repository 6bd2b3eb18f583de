package clusterd

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// A frame of clusterd's is a counter and the length of the payload, both of four bytes in
// network order, the command in twelve bytes ("sendsync ---"), and the payload. An answer has
// the counter of its request.
const (
	frameHeader   = 20
	commandLength = 12
	// maxPayload is more than an answer of wazuh-db has that comes through.
	maxPayload = wazuhsock.MaxFrame
)

type frame struct {
	counter uint32
	command string
	payload []byte
}

// appendFrame appends a frame to b. A command has fewer than twelve bytes.
func appendFrame(b []byte, counter uint32, command string, payload []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, counter)
	b = binary.BigEndian.AppendUint32(b, uint32(len(payload)))
	b = append(b, command+" "+strings.Repeat("-", commandLength-len(command)-1)...)
	return append(b, payload...)
}

// readFrame reads one frame. Its memory is bounded by what has come, and by maxPayload.
func readFrame(r io.Reader) (f frame, err error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return f, err
	}
	f.counter = binary.BigEndian.Uint32(head[:])
	size := binary.BigEndian.Uint32(head[4:])
	if size > maxPayload {
		return f, fmt.Errorf("a frame of %d bytes, and %d is the most", size, maxPayload)
	}
	f.command, _, _ = strings.Cut(string(head[8:]), " ")
	if f.command == "" || !printable.Is(f.command) {
		return f, fmt.Errorf("a frame with the command %.40q", head[8:])
	}
	f.payload = make([]byte, size)
	_, err = io.ReadFull(r, f.payload)
	return f, err
}
