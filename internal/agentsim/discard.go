package agentsim

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// discardDatagrams drops the datagrams that arrived while the network was cut.
// It reads from the socket directly, as the deadline of net.Conn may have
// passed.
func (s *session) discardDatagrams() {
	if s.fleet.stream || s.cuts == s.seen.cuts {
		return
	}
	socket, ok := s.conn.(syscall.Conn)
	if !ok { // an in-memory connection has no buffer
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return // closed: the next read fails
	}
	_ = raw.Control(func(fd uintptr) {
		for {
			_, err := unix.Read(int(fd), s.in.freeSpace())
			if err != nil && err != unix.EINTR && err != unix.ECONNREFUSED {
				return // EAGAIN: it is empty
			}
		}
	})
	s.cuts = s.seen.cuts
}
