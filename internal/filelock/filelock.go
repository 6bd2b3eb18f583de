// Package filelock locks a file or a directory against other processes. The kernel
// releases a lock when its process ends, however it ends.
//
// It starts no goroutines. Its functions may be called concurrently.
package filelock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// ErrLocked is the error of a lock that another one holds.
var ErrLocked = errors.New("it is locked")

const (
	// waitTime is for how long a lock is waited for: [IsLocked] holds one for a moment.
	waitTime  = 300 * time.Millisecond
	retryTime = waitTime / 10
)

// Lock is a lock that this process holds.
type Lock struct{ file *os.File }

// Acquire locks the file at path, which it makes with mode 0600 where there is none.
// The file has nothing in it, and stays.
func Acquire(path string) (*Lock, error) { return acquire(path, os.O_CREATE|os.O_RDWR) }

// AcquireDir locks a directory itself.
func AcquireDir(path string) (*Lock, error) { return acquire(path, os.O_RDONLY) }

func acquire(path string, flag int) (*Lock, error) {
	f, err := os.OpenFile(path, flag, 0o600)
	if err != nil {
		return nil, err
	}
	err = flock(f, syscall.LOCK_EX)
	for began := time.Now(); errors.Is(err, ErrLocked) && time.Since(began) < waitTime; err = flock(f, syscall.LOCK_EX) {
		time.Sleep(retryTime)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &Lock{f}, nil
}

func flock(f *os.File, how int) error {
	err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		return ErrLocked
	case err != nil:
		return fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil
}

// Release ends the lock.
func (l *Lock) Release() error { return l.file.Close() }

// Replaced reports whether another file, or none, is at the path now. A lock that was
// released has an error of [fs.ErrClosed].
func (l *Lock) Replaced() (bool, error) {
	ours, err := l.file.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Stat(l.file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !os.SameFile(ours, there), err
}

// IsLocked reports whether a process holds the lock at path. Where there is no file, or
// it cannot be read, none does.
func IsLocked(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	return errors.Is(flock(f, syscall.LOCK_SH), ErrLocked)
}
