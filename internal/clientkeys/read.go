package clientkeys

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// ReadFile reads client.keys as [Parse] does. The error names the file. An
// empty file is a manager without agents, and no error.
func ReadFile(path string) (*Set, []Problem, error) {
	r, err := readPath(path)
	return r.set, r.problems, err
}

// reading is what a file held, and the file as it was then.
type reading struct {
	set      *Set
	problems []Problem
	info     fs.FileInfo
	torn     bool // the file changed meanwhile: this may be half of each
}

func readPath(path string) (reading, error) {
	r, err := readOpen(path)
	if err != nil {
		return reading{}, &ReadError{err}
	}
	return r, nil
}

// ReadError is why the file could not be read.
type ReadError struct{ Err error }

func (e *ReadError) Error() string { return "read client keys: " + e.Err.Error() }

// Unwrap is the cause.
func (e *ReadError) Unwrap() error { return e.Err }

func readOpen(path string) (r reading, err error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe would wait for a writer
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	before, err := f.Stat()
	if err != nil {
		return r, err
	}
	if !before.Mode().IsRegular() {
		return r, fmt.Errorf("%s is not a regular file", path)
	}
	if before.Size() > maxFile {
		return r, fmt.Errorf("%s: %w", path, errTooLarge)
	}
	if r.set, r.problems, err = parseSet(f); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	if r.info, err = f.Stat(); err != nil {
		return r, err
	}
	r.torn = !sameState(before, r.info)
	return r, nil
}

// sameState reports whether a file seems unchanged between two stats of it.
func sameState(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
