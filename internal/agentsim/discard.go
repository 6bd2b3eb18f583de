package agentsim

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// discard forgets the datagrams that came while the network was cut: they never
// did. It reads past the deadlines of net.Conn, because what waits in the socket
// has to go whether or not the time for waiting is over.
func (s *session) discard() {
	if s.fleet.stream || s.cuts == s.seen.cuts {
		return
	}
	socket, ok := s.conn.(syscall.Conn)
	if !ok { // memory has no buffer
		return
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return // closed, which the next read finds
	}
	_ = raw.Control(func(fd uintptr) {
		for {
			_, err := unix.Read(int(fd), s.in.space())
			if err != nil && err != unix.EINTR && err != unix.ECONNREFUSED {
				return // EAGAIN: it is empty
			}
		}
	})
	s.cuts = s.seen.cuts
}
