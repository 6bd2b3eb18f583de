package attach

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

// databaseTime is how long wazuh-db may take to answer.
const databaseTime = 10 * time.Second

// answerLimit bounds what the parts of one answer come to.
const answerLimit = 16 * maxFrame

// saidMost is how many characters of what the manager says an error may have.
const saidMost = 200

// database is wazuh-db: one connection, which is opened when it is needed and
// kept. Callers take turns.
type database struct {
	path string
	time time.Duration // for an answer

	mu   sync.Mutex
	conn net.Conn // nil for none
	read *bufio.Reader

	known atomic.Pointer[layout] // of the tables behind the connection

	statements, bytesIn, bytesOut atomic.Int64
}

// refusal is wazuh-db's "err TEXT".
type refusal string

func (r refusal) Error() string { return "wazuh-db refuses: " + string(r) }

// noRows is an answer to a SELECT that is no list of rows. One that would be longer
// than a frame, wazuh-db cuts off.
type noRows struct{ error }

func (e noRows) Error() string { return "wazuh-db answers what is no list of rows: " + e.error.Error() }

func (e noRows) Unwrap() error { return e.error }

// query sends a command and returns the parts of its answer: mostly one.
func (db *database) query(ctx context.Context, command string) (parts []string, err error) {
	db.mu.Lock()
	defer db.mu.Unlock()
	if err := db.open(ctx); err != nil {
		return nil, explain(err, "wazuh-db", db.path)
	}
	conn := db.conn
	_ = conn.SetDeadline(time.Now().Add(db.time))
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	frame := appendFrame(nil, command)
	db.statements.Add(1)
	db.bytesOut.Add(int64(len(frame)))
	if _, err = conn.Write(frame); err == nil {
		parts, err = db.answer()
	}
	if err == nil {
		return parts, nil
	}
	if refused, ok := errors.AsType[refusal](err); ok {
		return nil, refused
	}
	db.close() // where the next answer begins, nobody knows
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return nil, explain(err, "wazuh-db", db.path)
}

func (db *database) open(ctx context.Context) (err error) {
	if db.conn != nil {
		return nil
	}
	dialer := net.Dialer{Timeout: db.time}
	if db.conn, err = dialer.DialContext(ctx, "unix", db.path); err != nil {
		db.conn = nil
		return err
	}
	db.read = bufio.NewReaderSize(db.conn, maxFrame)
	return nil
}

func (db *database) close() {
	if db.conn != nil {
		_ = db.conn.Close()
		db.conn = nil
		db.known.Store(nil)
	}
}

// hangUp ends the connection.
func (db *database) hangUp() {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.close()
}

// answer reads the parts of an answer: any number that say "due", and a last
// one that says "ok" or "err".
func (db *database) answer() (parts []string, err error) {
	size := 0
	for {
		frame, err := readFrame(db.read)
		if err != nil {
			return nil, err
		}
		db.bytesIn.Add(int64(len(frame)) + 4)
		if size += len(frame) + 4; size > answerLimit {
			return nil, fmt.Errorf("an answer of more than %d bytes", answerLimit)
		}
		part, last, err := parseAnswer(frame)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
		if last {
			return parts, nil
		}
	}
}

// parseAnswer reads a frame of wazuh-db: "ok JSON", "due JSON" (more follows) or "err TEXT".
// What agents send of themselves is in it as it came: bytes that are not UTF-8 become
// the replacement character.
func parseAnswer(frame []byte) (body string, last bool, err error) {
	word, body, _ := strings.Cut(strings.ToValidUTF8(string(frame), "\uFFFD"), " ")
	switch word {
	case "ok":
		return body, true, nil
	case "due":
		return body, false, nil
	case "err":
		return "", true, refusal(printable.Brief(body, saidMost))
	}
	return "", false, fmt.Errorf("an answer that is neither ok, due nor err: %.40q", frame)
}

// sql runs a SELECT and returns its rows.
func sql[T any](ctx context.Context, db *database, query string) (rows []T, err error) {
	parts, err := db.query(ctx, "global sql "+query)
	if err != nil {
		return nil, err
	}
	for _, part := range parts {
		var some []T
		if err := json.Unmarshal([]byte(part), &some); err != nil {
			return nil, noRows{err}
		}
		rows = append(rows, some...)
	}
	return rows, nil
}
