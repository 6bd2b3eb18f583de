package filelock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func mustAcquire(t *testing.T, path string) *Lock {
	t.Helper()
	l, err := Acquire(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestOneHoldsALockUntilItIsReleased(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	if IsLocked(path) {
		t.Error("a file that is not there is locked")
	}
	l := mustAcquire(t, path)
	if again, err := Acquire(path); again != nil || !errors.Is(err, ErrLocked) {
		t.Errorf("a second lock: %v", err)
	}
	if !IsLocked(path) {
		t.Error("it is not locked")
	}
	if err := l.Release(); err != nil || IsLocked(path) {
		t.Errorf("it is still locked: %v", err)
	}
	if err := mustAcquire(t, path).Release(); err != nil {
		t.Error(err)
	}
}

func TestADirectoryIsLockedWithoutAFileInIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	l, err := AcquireDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Release() }()
	if _, err := AcquireDir(dir); !errors.Is(err, ErrLocked) {
		t.Errorf("a second lock: %v", err)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("the directory has %v: %v", entries, err)
	}
}

func TestALockWhoseFileWasReplacedReportsIt(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	l := mustAcquire(t, path)
	check := func(want bool) {
		t.Helper()
		if got, err := l.Replaced(); got != want || err != nil {
			t.Errorf("replaced: %v, %v; want %v", got, err, want)
		}
	}
	check(false)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	check(true)
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check(true)
	if err := l.Release(); err != nil {
		t.Error(err)
	}
	if _, err := l.Replaced(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("of a released lock: %v", err)
	}
}
