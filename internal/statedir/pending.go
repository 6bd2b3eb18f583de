package statedir

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
	"syscall"
)

// PendingWrites are files of the state directory that could not be written because the
// disk is full. The node continues without them and retries. It may be used
// concurrently; a nil one has no files.
type PendingWrites struct {
	Log *slog.Logger

	mu      sync.Mutex
	writes  map[string]func() error // by the names of the files
	lastErr error
}

// Postpone adds a file that could not be written, with what writes it.
func (p *PendingWrites) Postpone(file string, err error, write func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.writes == nil {
		p.writes = make(map[string]func() error)
	}
	if p.writes[file] == nil {
		p.Log.Error("the disk is full: a file of the state directory is kept in memory, and written when there is room", "file", file, "err", err)
	}
	p.writes[file], p.lastErr = write, err
}

// PostponeKey adds the files of a new key that is in memory only. A nil write means
// that the key is on disk.
func (p *PendingWrites) PostponeKey(files string, write func() error) {
	if write != nil {
		p.Postpone(files, syscall.ENOSPC, write)
	}
}

// Retry tries to write the files.
func (p *PendingWrites) Retry() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, file := range slices.Sorted(maps.Keys(p.writes)) {
		if err := p.writes[file](); err != nil {
			p.lastErr = err
			continue
		}
		delete(p.writes, file)
		p.Log.Warn("a file of the state directory is written, for which there was no room", "file", file)
	}
}

// Problem describes the files that are not written; "" for none.
func (p *PendingWrites) Problem() string {
	if p == nil {
		return ""
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.writes) == 0 {
		return ""
	}
	text := "files of the state directory cannot be written, and are lost if Pulse ends now:"
	for _, file := range slices.Sorted(maps.Keys(p.writes)) {
		text += " " + file
	}
	return text + " (" + p.lastErr.Error() + ")"
}
