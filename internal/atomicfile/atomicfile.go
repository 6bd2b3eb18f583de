// Package atomicfile writes files that are old or new after a crash, never torn,
// and on the disk when a function returns, their names too.
//
// The package starts no goroutines. Its functions may be called concurrently: a
// file that several write at once holds what one of them wrote.
package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Write replaces the file at path, or makes it.
//
// A file that root writes gets the owner of the file that it replaces, or of the
// directory: a service can then read what root wrote for it.
func Write(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, os.Rename)
}

// Create makes the file at path. If there is one, the error is [fs.ErrExist].
func Create(path string, data []byte, mode fs.FileMode) error {
	return write(path, data, mode, os.Link)
}

func write(path string, data []byte, mode fs.FileMode, publish func(temporary, path string) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*"+unfinished) // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // its name is gone after a rename
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(mode), inheritOwner(f, path), f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := publish(f.Name(), path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir returns when the names in a directory are on the disk.
func SyncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// inheritOwner gives a file that root writes the owner of the file at path, or
// of its directory.
func inheritOwner(f *os.File, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	if of, ok := info.Sys().(*syscall.Stat_t); ok && of.Uid != 0 {
		return f.Chown(int(of.Uid), int(of.Gid))
	}
	return nil
}

const (
	unfinished = ".unfinished"
	// leftoverAge is far above the time that a write takes.
	leftoverAge = time.Hour
)

// RemoveLeftovers removes what writes that a crash interrupted left in a directory.
func RemoveLeftovers(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") || !strings.HasSuffix(e.Name(), unfinished) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > leftoverAge {
			errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return errors.Join(errs...)
}
