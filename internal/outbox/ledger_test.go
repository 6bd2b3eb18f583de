package outbox

import (
	"errors"
	"fmt"
	"strings"
)

// errHistory says that what the far stream holds can not become right any more.
var errHistory = errors.New("the far stream is wrong")

// ledger is what the far stream holds, by what [story] numbers.
type ledger struct {
	changes, alerts, keepAlives map[int]bool
	latest                      map[string]int // change of each agent
}

func newLedger() *ledger {
	return &ledger{changes: map[int]bool{}, alerts: map[int]bool{}, keepAlives: map[int]bool{}, latest: map[string]int{}}
}

func (l *ledger) messages() int { return len(l.changes) + len(l.alerts) + len(l.keepAlives) }

// take takes the far stream's next message.
func (l *ledger) take(subject string, data []byte) error {
	var n int
	if _, err := fmt.Sscan(string(data), &n); err != nil {
		return fmt.Errorf("%w: %s: %.20q", errHistory, subject, data)
	}
	seen := l.keepAlives
	switch {
	case strings.HasSuffix(subject, ".status_change"):
		seen = l.changes
		if before := l.latest[subject]; n < before {
			return fmt.Errorf("%w: %s: change %d after %d", errHistory, subject, n, before)
		}
		l.latest[subject] = n
	case strings.Contains(subject, ".alerts."):
		seen = l.alerts
	}
	if seen[n] {
		return fmt.Errorf("%w: %s: number %d is there twice", errHistory, subject, n)
	}
	seen[n] = true
	return nil
}

// missing says what is not there: of changes up to a number, and of all else
// what Publish has returned for.
func (l *ledger) missing(upTo int, told [][2]int) error {
	for n := 1; n <= upTo; n++ {
		if !l.changes[n] {
			return fmt.Errorf("of %d changes, %d are there; number %d is not", upTo, len(l.changes), n)
		}
	}
	for _, batch := range told {
		for n := batch[0]; n <= batch[1]; n++ {
			if !l.keepAlives[n] {
				return fmt.Errorf("keep-alive %d is not there", n)
			}
			if n%10 == 0 && !l.alerts[n] {
				return fmt.Errorf("alert %d is not there", n)
			}
		}
	}
	return nil
}
