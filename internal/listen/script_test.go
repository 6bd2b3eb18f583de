package listen

import "io"

// script is a connection from which a given stream is read, in pieces.
type script struct {
	rest  []byte
	piece int
}

func (s *script) Read(b []byte) (int, error) {
	if len(s.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, s.rest[:min(s.piece, len(s.rest))])
	s.rest = s.rest[n:]
	return n, nil
}
