// Package wazuhsock has what the Unix sockets of a Wazuh manager have in common:
// their paths, the frames of the stream sockets, sending to the datagram sockets, and
// what an error of a socket means.
//
// It starts no goroutines. A [Queue] belongs to one goroutine; all else may be used
// concurrently.
package wazuhsock

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/wazuh-pulse/pulse/internal/hint"
)

// Home is the manager's directory.
type Home string

// Path returns the path of a file in the directory.
func (h Home) Path(name string) string { return filepath.Join(string(h), name) }

// The manager's files and sockets, in its directory.
const (
	DatabaseSocket = "queue/db/wdb"
	DatabaseFile   = "queue/db/global.db"
	ARQueue        = "queue/alerts/ar"     // of wazuh-remoted
	AnalysisQueue  = "queue/sockets/queue" // of wazuh-analysisd
	ClusterSocket  = "queue/cluster/c-internal.sock"
	Settings       = "etc/ossec.conf"
)

// The sockets on which wazuh-remoted takes requests to agents.
const (
	RequestSocket    = "queue/sockets/remote"
	oldRequestSocket = "queue/sockets/request" // before Wazuh 4.4
)

// RequestSocket returns the path of the one that exists.
func (h Home) RequestSocket() string {
	path, old := h.Path(RequestSocket), h.Path(oldRequestSocket)
	_, missing := os.Stat(path)
	if _, err := os.Stat(old); err == nil && errors.Is(missing, fs.ErrNotExist) {
		return old
	}
	return path
}

// ExplainError returns what an error of a socket means, with a hint what to do about it.
func ExplainError(err error, daemon, path string) error {
	what := "%s cannot be used at %s: %w"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return hint.Add(fmt.Errorf("no right to reach %s at %s: %w", daemon, path, stripAddress(err)),
			fmt.Sprintf("run Pulse as a user of the manager's group (%s), and start it anew", joinCommand(path)))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK):
		return hint.Add(fmt.Errorf("%s is not running, nothing listens at %s: %w", daemon, path, stripAddress(err)),
			"start the manager (systemctl start wazuh-manager), or set <pulse><home> to its directory")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		what = "%s has hung up at %s, as it does when it ends or is started anew: %w"
	case errors.Is(err, os.ErrDeadlineExceeded):
		what = "%s does not answer at %s: %w"
	case errors.Is(err, syscall.EAGAIN):
		what = "%s has no room for another client at %s: %w"
	}
	return fmt.Errorf(what, daemon, path, stripAddress(err))
}

// joinCommand returns the command that adds this process's user to the group that may
// use a path.
func joinCommand(path string) string {
	name := "USER"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return "usermod -aG " + findGroup(path) + " " + name
}

// findGroup returns the group of a path or, if that cannot be reached, of the nearest
// directory above that can: wazuh, before Wazuh 4.3 ossec, and in Wazuh 5 wazuh-manager.
func findGroup(path string) string { return findGroupAbove(path, path) }

func findGroupAbove(path, original string) string {
	info, err := os.Stat(path)
	if err != nil {
		if up := filepath.Dir(path); up != path {
			return findGroupAbove(up, original)
		}
	} else if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Gid != 0 {
		if g, err := user.LookupGroupId(strconv.FormatUint(uint64(s.Gid), 10)); err == nil {
			return g.Name
		}
	}
	return managerGroup(original)
}

// stripAddress removes from an error of package net what repeats the address.
func stripAddress(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}

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
