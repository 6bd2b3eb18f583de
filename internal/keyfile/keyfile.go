// Package keyfile reads and writes files of keys. One that holds a secret has mode
// 0600, and is refused where others than its owner may read or change it. No error
// quotes what is in a file.
//
// Its functions start no goroutines. Two that write the same file leave that of one of them.
package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// SizeMax is far above any file of keys.
const SizeMax = 4 << 20

// Read returns the text of a file, without white space around it.
func Read(path string) ([]byte, error) { return read(path, false) }

// ReadSecret does so, unless others than the file's owner may read or change it.
func ReadSecret(path string) ([]byte, error) { return read(path, true) }

// read looks before it opens: opening a pipe would wait.
func read(path string, secret bool) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	case secret && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s: others may read or change it (mode %04o), and it holds a secret: chmod 600 it", path, info.Mode().Perm())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, SizeMax+1))
	if err == nil && len(text) > SizeMax {
		err = fmt.Errorf("%s: larger than %d bytes", path, SizeMax)
	}
	return bytes.TrimSpace(text), err
}

// Write writes a file whole or not at all. With fresh, one that is there already stays and is an error.
// What root writes belongs to whom the file before it belonged, or the directory: a
// service has to be able to read the key that root made for it.
func Write(path string, text []byte, mode fs.FileMode, fresh bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // what is left of it
	_, err = f.Write(append(bytes.TrimSpace(text), '\n'))
	if err := errors.Join(err, f.Chmod(mode), give(f, path), f.Sync(), f.Close()); err != nil {
		return err
	}
	if fresh {
		err = os.Link(f.Name(), path)
	} else {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// give makes a file that root wrote another's, if what it is written for is.
func give(f *os.File, path string) error {
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
