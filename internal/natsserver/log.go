package natsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/wazuh-pulse/pulse/internal/logonce"
)

// serverLog is the server's log. Warnings and errors go on to slog. The ones after
// which the server stores no more are also recorded: a publisher would otherwise see
// no more than a missing acknowledgement.
type serverLog struct {
	log   *slog.Logger
	lines logonce.Kinds // clients decide how often they do what the server logs

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
	if leftOut, ok := l.lines.Allow(kindOfLine(line)); !ok {
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

// lineKindLength is as much of a line as makes its kind.
const lineKindLength = 120

// kindOfLine returns a line without its numbers: ports, connections, sequences.
func kindOfLine(line string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, line[:min(len(line), lineKindLength)])
}
