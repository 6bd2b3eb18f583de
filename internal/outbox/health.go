package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// health takes the embedded server's log: warnings and errors go on to slog,
// and the ones after which it cannot store any more are kept, since a publisher
// would otherwise see no more than a missing acknowledgement.
type health struct {
	log   *slog.Logger
	lines lineLimit

	mu      sync.Mutex
	storing context.Context // ends when the server can store no more; its cause says why
	end     context.CancelCauseFunc
}

func newHealth(log *slog.Logger) *health {
	h := &health{log: log.With("component", "nats-server")}
	h.reset()
	return h
}

// reset begins anew, with another server.
func (h *health) reset() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.storing, h.end = context.WithCancelCause(context.Background())
}

// fail takes why the server can store no more. Only the first reason counts.
func (h *health) fail(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.end(err)
}

// store is a context that ends when the server can store no more.
func (h *health) store() context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.storing
}

// storeFailures are the words by which nats-server says that it stops storing.
var storeFailures = []string{"critical write error", "will be DISABLED", "disabling JetStream"}

// err is nil until the server has stopped storing.
func (h *health) err(dir string) error {
	storing := h.store()
	if storing.Err() == nil {
		return nil
	}
	return fmt.Errorf("store in %s: %w", dir, context.Cause(storing))
}

// Err says why the outbox can store no more; nil while it can.
func (o *Outbox) Err() error { return o.health.err(o.cfg.Dir) }

// expected is what the server says of the reader, who has no password on purpose.
const expected = "Plaintext passwords detected"

func (h *health) note(level func(string, ...any), format string, v []any) {
	line := fmt.Sprintf(format, v...)
	if strings.HasPrefix(line, expected) {
		return
	}
	for _, words := range storeFailures {
		if strings.Contains(line, words) {
			level(line)
			h.fail(errors.New(line))
			return
		}
	}
	if ok, leftOut := h.lines.allowLine(line, time.Now()); !ok {
		return
	} else if leftOut > 0 {
		level(line, "left_out", leftOut)
	} else {
		level(line)
	}
}

// Warnf logs, as do Errorf and Fatalf; the others drop what they are given.
func (h *health) Warnf(format string, v ...any)  { h.note(h.log.Warn, format, v) }
func (h *health) Errorf(format string, v ...any) { h.note(h.log.Error, format, v) }

// Fatalf is nats-server giving up at start. It would exit; we report it from Open.
func (h *health) Fatalf(format string, v ...any) { h.fail(fmt.Errorf(format, v...)) }

func (h *health) Noticef(string, ...any) {}
func (h *health) Debugf(string, ...any)  {}
func (h *health) Tracef(string, ...any)  {}
