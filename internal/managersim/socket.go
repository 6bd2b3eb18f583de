package managersim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// maxFrame is the longest message on any of the sockets.
const maxFrame = 65536

// listenStream creates a stream socket in the place of one that an earlier run
// left. As with the real daemons, only backlog clients may wait to be
// accepted; net.Listen would allow thousands.
func listenStream(path string, backlog int) (net.Listener, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("socket %s: %w", path, err)
	}
	file := os.NewFile(uintptr(fd), path)
	defer func() { _ = file.Close() }() // FileListener duplicates it
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		return nil, fmt.Errorf("bind %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o660); err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", path, err)
	}
	return net.FileListener(file)
}

// listenDatagrams creates a datagram socket.
func listenDatagrams(path string) (*net.UnixConn, error) {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o660); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

var errLength = fmt.Errorf("a message of 0 or more than %d bytes", maxFrame)

// readFrame reads a message with its length before it.
func readFrame(r io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return nil, err
	}
	size := binary.LittleEndian.Uint32(length[:])
	if size == 0 || size > maxFrame {
		return nil, fmt.Errorf("%w: %d", errLength, size)
	}
	frame := make([]byte, size)
	_, err := io.ReadFull(r, frame)
	return frame, err
}

// appendFrame appends a message with its length before it.
func appendFrame(b, message []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(message))), message...)
}

// waitForClose waits until the other side closes the connection.
func waitForClose(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
