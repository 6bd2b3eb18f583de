package outbox

import (
	"errors"
	"fmt"
	"strings"
)

// errHistory says that what the far stream holds can not become right any more.
var errHistory = errors.New("the far stream is wrong")

// ledger is what the far stream held, by what [story] numbers. A stream that is deleted
// and made again is another one, which has none of the IDs of the last: what a node sends
// again after a crash may be in both.
type ledger struct {
	stream                      int
	again                       bool           // it is read a second time, and the order was checked
	changes, alerts, keepAlives map[int]int    // the last stream that held it
	latest                      map[string]int // change of each agent
}

func newLedger() *ledger {
	return &ledger{stream: 1, changes: map[int]int{}, alerts: map[int]int{}, keepAlives: map[int]int{}, latest: map[string]int{}}
}

// messages is how many different ones there were, and how many are in the present stream.
func (l *ledger) messages() (all, here int) {
	for _, seen := range []map[int]int{l.changes, l.alerts, l.keepAlives} {
		all += len(seen)
		for _, stream := range seen {
			if stream == l.stream {
				here++
			}
		}
	}
	return all, here
}

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
		if before := l.latest[subject]; n < before && seen[n] == 0 && !l.again {
			return fmt.Errorf("%w: %s: change %d after %d", errHistory, subject, n, before)
		}
		l.latest[subject] = max(n, l.latest[subject])
	case strings.Contains(subject, ".alerts."):
		seen = l.alerts
	}
	if seen[n] == l.stream {
		return fmt.Errorf("%w: %s: number %d is there twice", errHistory, subject, n)
	}
	seen[n] = l.stream
	return nil
}

// missing says what is not there: of changes up to a number, and of all else
// what Publish has returned for.
func (l *ledger) missing(upTo int, told [][2]int) error {
	for n := 1; n <= upTo; n++ {
		if l.changes[n] == 0 {
			return fmt.Errorf("of %d changes, %d are there; number %d is not", upTo, len(l.changes), n)
		}
	}
	for _, batch := range told {
		for n := batch[0]; n <= batch[1]; n++ {
			if l.keepAlives[n] == 0 {
				return fmt.Errorf("keep-alive %d is not there", n)
			}
			if n%10 == 0 && l.alerts[n] == 0 {
				return fmt.Errorf("alert %d is not there", n)
			}
		}
	}
	return nil
}
