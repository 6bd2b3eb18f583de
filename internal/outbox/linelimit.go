package outbox

import (
	"strings"
	"sync"
	"time"
)

// What the embedded server's log may say of one kind in a minute: clients decide how
// often they do what it logs.
const (
	linesPerMinute = 3
	lineKindsMax   = 30 // told apart; all others are one more
	lineKindLength = 120
)

// lineLimit lets the first lines of each kind through, minute by minute. The zero
// value is ready for use. It may be used concurrently.
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

// kindOfLine is a line without its numbers: ports, connections, sequences.
func kindOfLine(line string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return -1
		}
		return r
	}, line[:min(len(line), lineKindLength)])
}
