package inventory

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// keysOf are the lines of agents from one number to another.
func keysOf(from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, "%03d host-%d any %064x\n", i, i, i)
	}
	return b.String()
}

func readingOf(t *testing.T, text string) *clientkeys.Set {
	t.Helper()
	set, _, err := clientkeys.Parse(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestAReadingThatLosesALargePartIsHeldForAMinute(t *testing.T) {
	all := keysOf(1, 30)
	for _, tt := range []struct {
		name, text  string
		watched     int // at once
		held, after int // a minute later
	}{
		{"nothing is left", "", 30, 30, 0},
		{"the disk gave NUL for it", strings.Repeat("\x00", 4096), 30, 30, 0},
		{"only comments are left", "# see the other file\n", 30, 30, 0},
		{"it is cut off within a line, in the middle", all[:len(all)/2], 30, 15, 15},
		{"it is cut off within its last line", all[:len(all)-20], 30, 1, 29},
		{"it is cut off at the end of a line", keysOf(1, 20), 30, 10, 20},
		{"a block of it is NUL", keysOf(1, 28) + strings.Repeat("\x00", 512), 30, 2, 28},
		{"another fleet's file is there", keysOf(101, 140), 70, 30, 40},
		{"it is cut off, and an agent was enrolled", keysOf(1, 3) + keysOf(31, 31), 31, 27, 4},
		{"one is removed", keysOf(2, 30), 29, 0, 29},
		{"a few are removed", keysOf(5, 30), 26, 0, 26},
		{"a few are removed in a file with broken lines", "x\n" + keysOf(5, 30), 26, 0, 26},
		{"a few are removed in a file without a last newline", strings.TrimSpace(keysOf(5, 30)), 26, 0, 26},
		{"all say that they are removed", strings.ReplaceAll(all, " host", " !host"), 0, 0, 0},
		{"nobody is missing", all, 30, 0, 30},
	} {
		t.Run(tt.name, func(t *testing.T) {
			now := time.Unix(1716897300, 0)
			w := agentsWatched{keys: readingOf(t, all)}
			due := w.update(readingOf(t, tt.text), now, removalHold)
			if w.count() != tt.watched || len(w.held) != tt.held || due.IsZero() != (tt.held == 0) {
				t.Errorf("%d watched, %d held, next at %v", w.count(), len(w.held), due)
			}
			w.update(readingOf(t, tt.text), now.Add(removalHold-time.Second), removalHold)
			if len(w.held) != tt.held {
				t.Errorf("%d held a second before", len(w.held))
			}
			due = w.update(readingOf(t, tt.text), now.Add(removalHold), removalHold)
			if w.count() != tt.after || len(w.held) != 0 || !due.IsZero() {
				t.Errorf("%d watched, %d held after the hold, next at %v", w.count(), len(w.held), due)
			}
		})
	}
}

func TestAListThatLosesAPartWithEachReadingIsHeldToo(t *testing.T) {
	now := time.Unix(1716897300, 0)
	w := agentsWatched{keys: readingOf(t, keysOf(1, 60))}
	for left := 51; left > 10; left -= 9 { // 15 % of 60
		w.update(readingOf(t, keysOf(1, left)), now, removalHold)
		now = now.Add(2500 * time.Millisecond)
	}
	if w.count() != 51 || len(w.held) != 36 {
		t.Errorf("%d watched, %d held", w.count(), len(w.held))
	}
}

func TestAgentsThatAreBackWithinTheHoldWereNeverAway(t *testing.T) {
	now, all := time.Unix(1716897300, 0), keysOf(1, 30)
	w := agentsWatched{keys: readingOf(t, all)}
	w.update(readingOf(t, ""), now, removalHold)
	w.update(readingOf(t, keysOf(1, 10)), now.Add(50*time.Second), removalHold) // being restored
	w.update(readingOf(t, keysOf(1, 10)), now.Add(55*time.Second), removalHold)
	if len(w.held) != 20 || w.count() != 30 {
		t.Fatalf("%d held of %d", len(w.held), w.count())
	}
	w.update(readingOf(t, keysOf(2, 30)), now.Add(59*time.Second), removalHold)
	if len(w.held) != 0 || w.count() != 29 {
		t.Errorf("%d held of %d", len(w.held), w.count())
	}
	w.update(readingOf(t, ""), now.Add(2*time.Hour), removalHold) // as if it was the first time
	if len(w.held) != 29 {
		t.Errorf("%d held of %d", len(w.held), w.count())
	}
	w.restartHold(now.Add(3 * time.Hour))
	if w.update(readingOf(t, ""), now.Add(3*time.Hour+time.Second), removalHold); len(w.held) != 29 {
		t.Errorf("%d held of %d after the file could not be read", len(w.held), w.count())
	}
}
