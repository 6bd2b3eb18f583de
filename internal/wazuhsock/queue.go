package wazuhsock

import (
	"net"
	"os"
	"time"
)

// sendTimeout is for how long Send waits while a queue is full.
const sendTimeout = time.Second

// Queue is a client of one of the manager's datagram sockets. It connects when it has
// something to send.
type Queue struct {
	path string
	conn *net.UnixConn // nil for none
}

// NewQueue returns a client of the socket at path.
func NewQueue(path string) *Queue { return &Queue{path: path} }

// SocketPath returns where the socket is.
func (q *Queue) SocketPath() string { return q.path }

// Send sends a datagram. If the process that served the connection has ended, it
// connects again and tries once more.
func (q *Queue) Send(text string) error {
	for fresh := q.conn == nil; ; fresh = true {
		if q.conn == nil {
			if err := q.openConn(); err != nil {
				return err
			}
		}
		_ = q.conn.SetWriteDeadline(time.Now().Add(sendTimeout))
		_, err := q.conn.Write([]byte(text))
		if err == nil {
			return nil
		}
		if q.Close(); fresh {
			return err
		}
	}
}

func (q *Queue) openConn() error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: q.path, Net: "unixgram"})
	if err != nil {
		return err
	}
	q.conn = conn
	return nil
}

// Close closes the connection, if there is one. The queue may be used again.
func (q *Queue) Close() {
	if q.conn != nil {
		_ = q.conn.Close()
		q.conn = nil
	}
}

// TryConnect connects to the socket at path, and sends nothing.
func TryConnect(path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	q := NewQueue(path)
	defer q.Close()
	return q.openConn()
}
