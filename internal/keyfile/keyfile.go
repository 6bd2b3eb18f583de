// Package keyfile reads and writes files of keys and of other secrets, and has the rule
// for who may read one. No error quotes the contents of a file.
//
// The package starts no goroutines. After concurrent writes of one file, it
// holds what one of them wrote.
package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

// SizeMax is far above any file of keys, and above a bundle of all public authorities.
const SizeMax = 4 << 20

// Access is who may read and change a file. A file that allows more is refused.
type Access uint8

const (
	// Public is for files without a secret: everybody.
	Public Access = iota
	// Shared is for secrets that an operator hands to Pulse: their owner and group, since a
	// file of root's with Pulse's group, mode 0640, is how hosts and containers hand them over.
	Shared
	// Private is for the keys that Pulse makes itself, with mode 0600: their owner. There is
	// no reason for anybody else to have them.
	Private
)

// The reasons why a file is not read, beside those of the file system.
var (
	ErrNotRegular = errors.New("not a regular file")
	ErrShared     = errors.New("every user of this host may read or change it, and it holds a secret")
	ErrTooLarge   = fmt.Errorf("larger than %d MiB", SizeMax>>20)
)

// checkFile returns why a file is refused.
func (a Access) checkFile(info fs.FileInfo) error {
	mode := info.Mode().Perm()
	switch {
	case !info.Mode().IsRegular():
		return ErrNotRegular
	case a == Shared && mode&0o006 != 0:
		return ErrShared
	case a == Private && mode&0o077 != 0:
		return fmt.Errorf("others may read or change it (mode %04o), and it holds a secret: chmod 600 it", mode)
	}
	return nil
}

// Open opens a file for reading if its mode is within what access allows. The error is
// without the path.
func Open(path string, access Access) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // nonblocking: opening a pipe would wait for a writer
	if err != nil {
		return nil, stripPath(err)
	}
	info, err := f.Stat()
	if err == nil {
		err = access.checkFile(info)
	}
	if err != nil {
		_ = f.Close()
		return nil, stripPath(err)
	}
	return f, nil
}

// ReadAll returns the contents of a file. The error is without the path.
func ReadAll(path string, access Access) ([]byte, error) {
	f, err := Open(path, access)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, SizeMax+1))
	if err != nil {
		return nil, stripPath(err)
	}
	if len(text) > SizeMax {
		return nil, ErrTooLarge
	}
	return text, nil
}

// stripPath removes the operation and the path from an error.
func stripPath(err error) error {
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number
	}
	return err
}

// Read returns the contents of a file without white space around it. An error of the
// file system is an [fs.PathError].
func Read(path string, access Access) ([]byte, error) {
	text, err := ReadAll(path, access)
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return nil, &fs.PathError{Op: "read", Path: path, Err: number}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return bytes.TrimSpace(text), nil
}

// Write writes a file atomically. With fresh, an existing file stays and the error is
// [fs.ErrExist].
func Write(path string, text []byte, mode fs.FileMode, fresh bool) error {
	text = append(bytes.TrimSpace(text), '\n')
	if fresh {
		return atomicfile.Create(path, text, mode)
	}
	return atomicfile.Write(path, text, mode)
}
