package natsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// serverLog is the server's log. Warnings and errors go on to slog. The ones after
// which the server stores no more are also recorded: a publisher would otherwise see
// no more than a missing acknowledgement.
type serverLog struct {
	log   *slog.Logger
	lines lineLimit

	mu      sync.Mutex
	storing context.Context // ends when the server can store no more; its cause is why
	end     context.CancelCauseFunc
}

func newServerLog(log *slog.Logger) *serverLog {
	l := &serverLog{log: log.With("component", "nats-server")}
	l.reset()
	return l
}

// reset forgets the failure of a server that was stopped.
func (l *serverLog) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.storing, l.end = context.WithCancelCause(context.Background())
}

func (l *serverLog) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(err)
}

func (l *serverLog) context() context.Context {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.storing
}

func (l *serverLog) err(dir string) error {
	storing := l.context()
	if storing.Err() == nil {
		return nil
	}
	return fmt.Errorf("store in %s: %w", dir, context.Cause(storing))
}

// storeFailures are words of nats-server's messages after which it stops storing.
var storeFailures = []string{"critical write error", "will be DISABLED", "disabling JetStream"}

// expectedWarning is the server's about the reader, who has no password on purpose.
const expectedWarning = "Plaintext passwords detected"

func (l *serverLog) logLine(level func(string, ...any), format string, v []any) {
	line := fmt.Sprintf(format, v...)
	if strings.HasPrefix(line, expectedWarning) {
		return
	}
	for _, words := range storeFailures {
		if strings.Contains(line, words) {
			level(line)
			l.fail(errors.New(line))
			return
		}
	}
	if ok, leftOut := l.lines.allowLine(line, time.Now()); !ok {
		return
	} else if leftOut > 0 {
		level(line, "left_out", leftOut)
	} else {
		level(line)
	}
}

// Warnf logs, as do Errorf and Fatalf; the others drop their message.
func (l *serverLog) Warnf(format string, v ...any)  { l.logLine(l.log.Warn, format, v) }
func (l *serverLog) Errorf(format string, v ...any) { l.logLine(l.log.Error, format, v) }

// Fatalf is called when nats-server cannot start. It would exit; [Server.Start] returns it.
func (l *serverLog) Fatalf(format string, v ...any) { l.fail(fmt.Errorf(format, v...)) }

func (l *serverLog) Noticef(string, ...any) {}
func (l *serverLog) Debugf(string, ...any)  {}
func (l *serverLog) Tracef(string, ...any)  {}

// How much of one kind the log may have in a minute: clients decide how often they do
// what the server logs.
const (
	linesPerMinute = 3
	lineKindsMax   = 30 // counted apart; all others are one more
	lineKindLength = 120
)

// lineLimit allows the first lines of each kind, minute by minute. The zero value is
// ready for use. It may be used concurrently.
type lineLimit struct {
	mu     sync.Mutex
	minute time.Time // when it began
	kinds  map[string]int
	before int // lines left out in minutes before, not reported yet
}

// allowLine reports whether a line may be logged, and how many were left out since
// the last that was.
func (l *lineLimit) allowLine(line string, now time.Time) (ok bool, leftOut int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.minute) >= time.Minute || l.kinds == nil {
		l.minute, l.kinds = now, make(map[string]int)
	}
	kind := kindOfLine(line)
	if _, known := l.kinds[kind]; !known && len(l.kinds) >= lineKindsMax {
		kind = ""
	}
	l.kinds[kind]++
	if l.kinds[kind] > linesPerMinute {
		l.before++
		return false, 0
	}
	leftOut, l.before = l.before, 0
	return true, leftOut
}

// kindOfLine returns a line without its numbers: ports, connections, sequences.
func kindOfLine(line string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, line[:min(len(line), lineKindLength)])
}
