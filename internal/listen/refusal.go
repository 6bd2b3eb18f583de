package listen

import (
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// refusal is why something from a peer was not accepted.
type refusal uint8

const (
	notOurs      refusal = iota // no secure message at all
	unknownAgent                // no such agent, or none at this address
	wrongAddress                // registered under another address
	wrongKey                    // does not decrypt, or not to a whole message
	oversized                   // longer than a message may be
	keyInUse                    // the agent's live connection is another one
	anotherAgent                // the connection belongs to another agent
	tooLate                     // no whole message in time
	tooSlow                     // the peer does not read what it is sent
	tooMany                     // no room for one more connection
	staleCounter                // not newer than what was seen, and no question answered
	refusals
)

// The names are those in statistics and logs.
var refusalNames = [refusals]string{"garbled", "unknown_agent", "wrong_address", "wrong_key", "oversized", "key_in_use",
	"another_agent", "too_late", "slow_reader", "too_many_connections", "stale_counter"}

func (r refusal) String() string { return refusalNames[r] }

// refused is the error of a peer that has to go.
type refused struct {
	why   refusal
	agent string // whose connection or key it is about; "" for nobody's
	err   error
}

func (r *refused) Error() string { return r.why.String() + ": " + r.err.Error() }
func (r *refused) Unwrap() error { return r.err }

func refuse(why refusal, err error) error { return &refused{why: why, err: err} }

// refuseAs refuses something that came in the name of an agent of ours.
func refuseAs(agent string, why refusal, err error) error { return &refused{why, agent, err} }

// Refusal is something from a peer that was not accepted.
type Refusal struct {
	From   netip.AddrPort // not valid where there is none
	Reason string
	Agent  string // in whose name it came, if that is one of ours; over UDP anybody can say so, from anywhere
	Err    error  // may quote what the peer sent, in a bounded and printable form
}

// noticePeriod is how often at most each kind of refusal is logged.
const noticePeriod = time.Minute

// notices logs the first refusal of each kind, and then one a noticePeriod with
// the number of those in between: somebody who knocks a thousand times a second
// does not fill the disk.
type notices struct {
	log   *slog.Logger
	mu    sync.Mutex
	kinds [refusals]struct {
		last   time.Time
		silent int
	}
}

func (n *notices) add(from netip.AddrPort, err error) {
	var r *refused
	if !errors.As(err, &r) {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	kind, now := &n.kinds[r.why], time.Now()
	if !kind.last.IsZero() && now.Sub(kind.last) < noticePeriod {
		kind.silent++
		return
	}
	n.log.Warn("refused a peer", "peer", from, "reason", r.why.String(), "error", r.err, "others_since_last", kind.silent)
	kind.last, kind.silent = now, 0
}
