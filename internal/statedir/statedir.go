// Package statedir opens the directory in which a node keeps its state: it makes it,
// refuses one that others may change, and keeps a second process out of it.
//
// It starts no goroutines. Its functions may be called concurrently.
package statedir

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/filelock"
)

// Dir is a state directory that this process has locked.
type Dir struct {
	path string
	lock *filelock.Lock // nil until it is held
	// Caution is what somebody should look at, though the directory is used; nil for nothing.
	Caution error
	// Unlocked is why the directory is not locked: the disk is full, and [Dir.Lock] is to
	// be tried again; nil if it is.
	Unlocked error
}

// Error is an error about the state directory. Its text names the setting.
type Error struct {
	Op  string // what was done, with the setting: "make the state directory (<pulse><state_dir>)"
	Err error
}

func (e *Error) Error() string { return e.Op + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// lockName is the file that is locked. It has nothing in it, and stays.
const lockName = "lock"

// Open makes a directory with mode 0700 where there is none, checks who may change it,
// and locks it until Close or the end of the process, however it ends.
func Open(path string) (*Dir, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, &Error{"make the state directory (<pulse><state_dir>)", err}
	}
	d := &Dir{path: path}
	var err error
	if d.Caution, err = Check(path); err != nil {
		return nil, err
	}
	if d.Unlocked = d.Lock(); d.Unlocked != nil && !IsFull(d.Unlocked) {
		return nil, d.Unlocked
	}
	if d.Unlocked == nil {
		_ = atomicfile.RemoveLeftovers(path) // they do no harm
	}
	return d, nil
}

// Lock locks the directory, which Open does where it can.
func (d *Dir) Lock() (err error) {
	d.lock, err = filelock.Acquire(filepath.Join(d.path, lockName))
	switch {
	case errors.Is(err, filelock.ErrLocked):
		return &fs.PathError{Op: "lock the state directory", Path: d.path, Err: errors.New("another Pulse is using it")}
	case err != nil:
		return fmt.Errorf("lock the state directory %s: %w", d.path, err)
	}
	return nil
}

// Close releases the lock.
func (d *Dir) Close() error {
	if d.lock == nil {
		return nil
	}
	if err := d.lock.Release(); err != nil {
		return fmt.Errorf("unlock the state directory: %w", err)
	}
	return nil
}

// InUse reports whether a process has a directory locked.
func InUse(path string) bool { return filelock.IsLocked(filepath.Join(path, lockName)) }

// Check returns an error if others than the owner may change a directory: then they
// can change what is believed of agents, and the keys of the node. One that belongs to
// another user than this process's is used with a caution: root may have reasons.
func Check(path string) (caution, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, &Error{"examine the state directory (<pulse><state_dir>)", err}
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("the state directory (<pulse><state_dir>) %s is no directory", path)
	}
	if mode := info.Mode(); mode.Perm()&0o022 != 0 {
		return nil, fmt.Errorf("the state directory (<pulse><state_dir>) %s can be changed by others (mode %04o): chmod go-w %s, or name a directory below it, which Pulse makes", path, mode.Perm(), path)
	}
	if owner, ok := info.Sys().(*syscall.Stat_t); ok && int(owner.Uid) != os.Geteuid() {
		return fmt.Errorf("the state directory %s belongs to uid %d, who can change what is in it, and Pulse runs as uid %d: chown it", path, owner.Uid, os.Geteuid()), nil
	}
	return nil, nil
}

// IsFull reports whether an error says that a disk or a quota is full.
func IsFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

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
