package bench

import (
	"bytes"
	"errors"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// bareDatagramBuffer is how many bytes of datagrams may wait: as many as at a node.
const bareDatagramBuffer = 4 << 20

// listenDatagrams opens a socket for datagrams at the address of a TCP listener.
func listenDatagrams(at net.Addr) (_ *os.File, err error) {
	conn, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at.(*net.TCPAddr).AddrPort()))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }() // the file is another one of the same socket
	_ = conn.SetReadBuffer(bareDatagramBuffer)              // the system may grant less
	return conn.File()
}

// readDatagrams reads what waits, and acknowledges it. A datagram that it does not
// understand is skipped.
func (m *bareManager) readDatagrams(fd int, buffer []byte) {
	for {
		n, from, err := unix.Recvfrom(fd, buffer, unix.MSG_DONTWAIT)
		if err != nil {
			return
		}
		text, block := m.readMessage(buffer[:n])
		if block == nil {
			continue
		}
		id, _, _ := bytes.Cut(buffer[1:n], []byte("!"))
		if !m.started[string(id)] {
			m.started[string(id)] = true
			m.active.Add(1)
		}
		m.countMessage(text)
		_ = unix.Sendto(fd, m.makeAck(block)[4:], 0, from) // a datagram may be lost
	}
}
