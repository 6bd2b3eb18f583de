package attach

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// troubles are what is wrong with the manager's daemons at the moment. Each is
// logged when it comes and when it is over, and not in between.
type troubles struct {
	log *slog.Logger

	mu  sync.Mutex
	now map[string]string // by daemon
}

// set says how a daemon is: nil for well.
func (t *troubles) set(daemon string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, ill := t.now[daemon]
	switch {
	case err == nil && ill:
		delete(t.now, daemon)
		t.log.Info(daemon + " is there again")
	case err != nil:
		if was != err.Error() {
			t.log.Error(daemon+" cannot be used: waiting for it", "problem", err.Error())
		}
		t.now[daemon] = err.Error()
	}
}

// text says all that is wrong, in one line; empty when nothing is.
func (t *troubles) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]string, 0, len(t.now))
	for _, problem := range t.now {
		all = append(all, problem)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}
