package listen

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"runtime/debug"

	"github.com/wazuh-pulse/pulse/internal/logonce"
)

// refusal is why something from a peer was not accepted.
type refusal uint8

const (
	notOurs      refusal = iota // no secure message at all
	unknownAgent                // no such agent, or none at this address
	wrongAddress                // registered under another address
	wrongKey                    // does not decrypt, or not to a whole message
	oversized                   // longer than a message may be
	keyInUse                    // the agent has another live connection
	anotherAgent                // the connection belongs to another agent
	tooLate                     // no whole message in time
	tooSlow                     // the peer does not read what it is sent
	tooMany                     // the limit of connections is reached
	staleCounter                // not newer than what was received, and no question answered
	reflected                   // a manager's own message
	refusals
)

// The names are those in statistics and logs.
var refusalNames = [refusals]string{"garbled", "unknown_agent", "wrong_address", "wrong_key", "oversized", "key_in_use",
	"another_agent", "too_late", "slow_reader", "too_many_connections", "stale_counter", "reflected"}

func (r refusal) String() string { return refusalNames[r] }

// refusalError is the error of something that was not accepted.
type refusalError struct {
	why   refusal
	agent string // whose connection or key it is about; "" if unknown
	err   error
}

func (r *refusalError) Error() string { return r.why.String() + ": " + r.err.Error() }
func (r *refusalError) Unwrap() error { return r.err }

func refuse(why refusal, err error) error { return &refusalError{why: why, err: err} }

// refuseAgentMessage refuses something that came in the name of a registered agent.
func refuseAgentMessage(agent string, why refusal, err error) error {
	return &refusalError{why, agent, err}
}

// Refusal is something from a peer that was not accepted.
type Refusal struct {
	From   netip.AddrPort // invalid if unknown
	Reason string
	Agent  string // the registered agent in whose name it came, if any; over UDP the source address can be forged
	Err    error  // may quote what the peer sent, in a bounded and printable form
}

// recordRefusal counts, logs and reports a refusal. It ignores other errors, such as
// the end of a connection.
func (l *Link) recordRefusal(from netip.AddrPort, err error) {
	if r, ok := errors.AsType[*refusalError](err); ok {
		l.count.refused[r.why].Add(1)
		l.log.logRefusal(from, r)
		if l.onRefused != nil {
			l.onRefused(Refusal{from, r.why.String(), r.agent, r.err})
		}
	}
}

// containPanic runs f, which serves one peer. It returns a panic in f as an error for
// that peer alone, counts it, and logs it with its stack.
func (l *Link) containPanic(from netip.AddrPort, f func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			l.count.panics.Add(1)
			l.log.logPanic(from, v, debug.Stack())
			err = &panicError{v}
		}
	}()
	return f()
}

// panicError is the error of a peer that made the link panic.
type panicError struct{ value any }

func (e *panicError) Error() string { return fmt.Sprintf("panic: %v", e.value) }

// rateLimitedLog logs the first line of each kind, and then one a minute with
// the number of those in between: a thousand refusals a second do not fill the disk.
type rateLimitedLog struct {
	*slog.Logger
	refusals [refusals]logonce.Limiter
	panics   logonce.Limiter
}

func (l *rateLimitedLog) logRefusal(from netip.AddrPort, r *refusalError) {
	if skipped, ok := l.refusals[r.why].Allow(); ok {
		l.Warn("refused a peer", "peer", from, "reason", r.why.String(), "err", r.err, "others_since_last", skipped)
	}
}

func (l *rateLimitedLog) logPanic(from netip.AddrPort, value any, stack []byte) {
	if skipped, ok := l.panics.Allow(); ok {
		l.Error("a fault in Pulse ended a peer's connection: please report it", "peer", from, "panic", fmt.Sprint(value),
			"stack", string(stack), "others_since_last", skipped)
	}
}
