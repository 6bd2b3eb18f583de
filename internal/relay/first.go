package relay

import (
	"bytes"
	"io"
)

// The first message of an agent begins with its length, in four bytes, and for one that may
// connect from any address with its ID between exclamation marks.
const (
	lengthSize = 4
	mark       = '!'
	longestID  = 16
)

// readFirst reads the beginning of a connection, up to the agent's ID. The ID is "" for an
// agent that its address identifies.
func readFirst(from io.Reader) (read []byte, agent string, err error) {
	read = make([]byte, lengthSize+1, lengthSize+longestID+2)
	if _, err = io.ReadFull(from, read); err != nil || read[lengthSize] != mark {
		return read, "", err
	}
	for len(read) < cap(read) {
		n, err := from.Read(read[len(read) : len(read)+1])
		read = read[:len(read)+n]
		if err != nil {
			return read, "", err
		}
		if id, ok := bytes.CutSuffix(read[lengthSize+1:], []byte{mark}); ok && n > 0 {
			return read, string(id), nil
		}
	}
	return read, "", nil
}
