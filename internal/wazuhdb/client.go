// Package wazuhdb is a client of wazuh-db, the process that keeps a Wazuh manager's
// table of agents: its answers, the schemas of Wazuh 4.3 and later and of Wazuh 5, and the statements
// that Pulse needs.
//
// What agents send of themselves is in the table unchecked, so each column is read up
// to a bound, and a row that makes no sense is skipped alone.
//
// The package starts no goroutines. A [Client] may be used concurrently: its callers
// take turns on one connection.
package wazuhdb

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

const (
	// maxAnswer is how many bytes the parts of one answer may have.
	maxAnswer = 16 * wazuhsock.MaxFrame
	// maxErrorText is how many characters of an error are kept of what wazuh-db sent.
	maxErrorText = 200
)

// Client is a connection to wazuh-db, which is opened when it is needed and kept.
type Client struct {
	Timeout time.Duration // for an answer; set before first use

	home   wazuhsock.Home
	path   string
	role   ClusterRole
	files5 bool // the manager's files were those of Wazuh 5 when the client was made

	mu   sync.Mutex
	conn net.Conn // nil for none
	read *bufio.Reader

	known atomic.Pointer[Schema] // of the tables behind the connection

	statements, bytesIn, bytesOut atomic.Int64
}

// NewClient returns a client of the manager in a directory, whose place in its cluster
// is role. Timeout is that for an answer.
func NewClient(home wazuhsock.Home, role ClusterRole, timeout time.Duration) *Client {
	return &Client{Timeout: timeout, home: home, path: home.Path(wazuhsock.DatabaseSocket), role: role, files5: home.IsWazuh5()}
}

// SocketPath returns where the socket is.
func (c *Client) SocketPath() string { return c.path }

// StartedAt returns when the wazuh-db that runs was started, which makes its socket anew then;
// the zero time if that is unknown.
func (c *Client) StartedAt() time.Time {
	info, err := os.Stat(c.path)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// Traffic counts what a client sent and received.
type Traffic struct {
	Statements        int64
	BytesIn, BytesOut int64
}

// CountTraffic returns the counts so far.
func (c *Client) CountTraffic() Traffic {
	return Traffic{c.statements.Load(), c.bytesIn.Load(), c.bytesOut.Load()}
}

// RefusedError is wazuh-db's answer "err TEXT".
type RefusedError string

func (e RefusedError) Error() string { return "wazuh-db refuses: " + string(e) }

// noRowsError is the error for an answer to a SELECT that is no list of rows. wazuh-db
// cuts off one that would be longer than a frame.
type noRowsError struct{ error }

func (e noRowsError) Error() string {
	return "wazuh-db answers what is no list of rows: " + e.error.Error()
}

func (e noRowsError) Unwrap() error { return e.error }

// Query sends a command and returns the parts of its answer: mostly one.
func (c *Client) Query(ctx context.Context, command string) (parts []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.openConn(ctx); err != nil {
		return nil, wazuhsock.ExplainError(err, "wazuh-db", c.path)
	}
	conn := c.conn
	_ = conn.SetDeadline(time.Now().Add(c.Timeout))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	frame := wazuhsock.AppendFrame(nil, command)
	c.statements.Add(1)
	c.bytesOut.Add(int64(len(frame)))
	if _, err = conn.Write(frame); err == nil {
		parts, err = c.readAnswerParts()
	}
	if err == nil {
		return parts, nil
	}
	if refused, ok := errors.AsType[RefusedError](err); ok {
		return nil, refused
	}
	c.closeConn() // where the next answer begins is unknown
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, wazuhsock.ExplainError(err, "wazuh-db", c.path)
}

func (c *Client) openConn(ctx context.Context) (err error) {
	if c.conn != nil {
		return nil
	}
	dialer := net.Dialer{Timeout: c.Timeout}
	if c.conn, err = dialer.DialContext(ctx, "unix", c.path); err != nil {
		c.conn = nil
		return err
	}
	c.read = bufio.NewReaderSize(c.conn, wazuhsock.MaxFrame)
	return nil
}

func (c *Client) closeConn() {
	if c.conn != nil {
		_ = c.conn.Close()
		c.conn = nil
		c.known.Store(nil)
	}
}

// Close closes the connection. The next query opens another one.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closeConn()
}

// readAnswerParts reads the parts of an answer: any number of "due", and a last one that is
// "ok" or "err".
func (c *Client) readAnswerParts() (parts []string, err error) {
	size := 0
	for {
		frame, err := wazuhsock.ReadFrame(c.read)
		if err != nil {
			return nil, err
		}
		c.bytesIn.Add(int64(len(frame)) + 4)
		if size += len(frame) + 4; size > maxAnswer {
			return nil, fmt.Errorf("an answer of more than %d bytes", maxAnswer)
		}
		part, last, err := parseAnswerFrame(frame)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		if last {
			return parts, nil
		}
	}
}

// parseAnswerFrame parses a frame of wazuh-db: "ok JSON", "due JSON" (more follows) or "err
// TEXT". What agents send of themselves is in it as it came: bytes that are not UTF-8
// become the replacement character.
func parseAnswerFrame(frame []byte) (body string, last bool, err error) {
	word, body, _ := strings.Cut(strings.ToValidUTF8(string(frame), "\uFFFD"), " ")
	switch word {
	case "ok":
		return body, true, nil
	case "due":
		return body, false, nil
	case "err":
		return "", true, RefusedError(printable.Brief(body, maxErrorText))
	}
	return "", false, fmt.Errorf("an answer that is neither ok, due nor err: %.40q", frame)
}

func selectRows[T any](ctx context.Context, c *Client, query string) (rows []T, err error) {
	parts, err := c.Query(ctx, "global sql "+query)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		var some []T
		if err := json.Unmarshal([]byte(part), &some); err != nil {
			return nil, noRowsError{err}
		}
		rows = append(rows, some...)
	}
	return rows, nil
}

// selectRow runs a SELECT of exactly one row.
func selectRow[T any](ctx context.Context, c *Client, query string) (row T, err error) {
	rows, err := selectRows[T](ctx, c, query)
	if err != nil {
		return row, err
	}
	if len(rows) != 1 {
		return row, fmt.Errorf("wazuh-db answers %d rows for one", len(rows))
	}
	return rows[0], nil
}
