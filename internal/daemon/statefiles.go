package daemon

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"syscall"
)

// stateFiles are files of the state directory that a full disk did not take. The node
// goes on without them, and they are tried again every second. It may be
// used concurrently.
type stateFiles struct {
	log *slog.Logger

	mu      sync.Mutex
	waiting map[string]func() error // by what they are
	err     error                   // of the last try
}

// postpone notes that a file could not be written, and how it can be.
func (f *stateFiles) postpone(what string, err error, write func() error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.waiting == nil {
		f.waiting = make(map[string]func() error)
	}
	if f.waiting[what] == nil {
		f.log.Error("the disk is full: a file of the state directory is kept in memory, and written when there is room", "file", what, "err", err)
	}
	f.waiting[what], f.err = write, err
}

// postponeKey notes that a new key is in memory only; without write, it is not.
func (f *stateFiles) postponeKey(what string, write func() error) {
	if write != nil {
		f.postpone(what, syscall.ENOSPC, write)
	}
}

// retry writes what waits; a nil one has nothing.
func (f *stateFiles) retry() {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, what := range slices.Sorted(maps.Keys(f.waiting)) {
		if err := f.waiting[what](); err != nil {
			f.err = err
			continue
		}
		delete(f.waiting, what)
		f.log.Warn("a file of the state directory is written, for which there was no room", "file", what)
	}
	if len(f.waiting) == 0 {
		f.err = nil
	}
}

// problem is what to say of files that wait; "" for none.
func (f *stateFiles) problem() string {
	if f == nil {
		return ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.waiting) == 0 {
		return ""
	}
	text := "files of the state directory cannot be written, and are lost if Pulse ends now:"
	for _, what := range slices.Sorted(maps.Keys(f.waiting)) {
		text += " " + what
	}
	return text + " (" + f.err.Error() + ")"
}
