package remoted

import (
	"bufio"
	"context"
	"os"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// exchangeFrames sends one frame and reads one. It calls sent between the two, unless it is nil.
func (c *Client) exchangeFrames(ctx context.Context, text string, timeout time.Duration, sent func()) ([]byte, error) {
	conn, err := c.openConn()
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close() }() // there is nothing left to lose
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	_ = conn.SetDeadline(time.Now().Add(timeout))
	frame := wazuhsock.AppendFrame(nil, text)
	c.bytesOut.Add(int64(len(frame)))
	if _, err := conn.Write(frame); err != nil {
		return nil, err
	}
	if sent != nil {
		sent()
	}
	answer, err := wazuhsock.ReadFrame(bufio.NewReaderSize(conn, answerSize))
	c.bytesIn.Add(int64(len(answer)))
	return answer, err
}

// answerSize is more than an agent's answer has, so that it is read at once.
const answerSize = 512

// openConn connects to the socket where it was last. Where it is is found out anew when that
// fails.
func (c *Client) openConn() (*os.File, error) {
	if path := c.connected.Load(); path != nil {
		if conn, err := dialSocket(*path); err == nil {
			return conn, nil
		}
	}
	path := c.SocketPath()
	conn, err := dialSocket(path)
	if err == nil {
		c.connected.Store(&path)
	}
	return conn, err
}

// dialSocket connects to a Unix socket. There are 167 requests a second to ten thousand agents,
// and what package net does besides would be a fifth of what a request costs. To connect does not
// block: it fails if too many connections wait to be accepted.
func dialSocket(path string) (*os.File, error) {
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_NONBLOCK|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		_ = syscall.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
	return os.NewFile(uintptr(fd), path), nil
}
