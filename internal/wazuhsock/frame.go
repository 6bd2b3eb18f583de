package wazuhsock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// MaxFrame is the length in bytes of the longest message on the stream sockets.
const MaxFrame = 1 << 16

// AppendFrame appends a message as the stream sockets have it: its length in four
// bytes, least significant first, before it.
func AppendFrame(dst []byte, message string) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(message)))
	return append(dst, message...)
}

// FrameTooLongError is the error for a message of more than MaxFrame bytes. Its value
// is the length that was announced.
type FrameTooLongError uint32

func (n FrameTooLongError) Error() string {
	return fmt.Sprintf("a message of %d bytes, and none may be longer than %d", uint32(n), MaxFrame)
}

// ReadFrame reads a message. Its error is io.EOF only if no byte was read.
func ReadFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > MaxFrame {
		return nil, FrameTooLongError(n)
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
