package attach

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// maxFrame is the longest message of the manager's stream sockets.
const maxFrame = 1 << 16

// appendFrame appends a message as the stream sockets have it: its length in
// four bytes, least first, before it.
func appendFrame(dst []byte, message string) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(message)))
	return append(dst, message...)
}

// frameTooLong is the error of a message of more than maxFrame bytes.
type frameTooLong uint32

func (n frameTooLong) Error() string {
	return fmt.Sprintf("a message of %d bytes, and none may be longer than %d", uint32(n), maxFrame)
}

// readFrame reads a message. Its error is io.EOF only when not a byte of it came.
func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, frameTooLong(n)
	}
	message := make([]byte, n)
	if _, err := io.ReadFull(r, message); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("a message of %d bytes broke off: %w", n, err)
	}
	return message, nil
}
