package attach

import (
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// conditions are what is wrong with the manager's daemons at the moment. Each is
// logged when it comes and when it is over, and not in between.
type conditions struct {
	log *slog.Logger

	mu     sync.Mutex
	errors map[string]string // by daemon
}

func newConditions(log *slog.Logger) *conditions {
	return &conditions{log: log, errors: make(map[string]string)}
}

// setCondition says how a daemon is: nil for well.
func (t *conditions) setCondition(daemon string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was, ill := t.errors[daemon]
	switch {
	case err == nil && ill:
		delete(t.errors, daemon)
		t.log.Info(daemon + " is there again")
	case err != nil:
		if was != err.Error() {
			t.log.Error(daemon+" cannot be used: waiting for it", "err", err)
		}
		t.errors[daemon] = err.Error()
	}
}

// formatAll says all that is wrong, in one line; empty when nothing is.
func (t *conditions) formatAll() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]string, 0, len(t.errors))
	for _, problem := range t.errors {
		all = append(all, problem)
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}
