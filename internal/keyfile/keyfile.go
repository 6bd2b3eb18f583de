// Package keyfile reads and writes files of keys. A file with a secret has
// mode 0600, and is refused if others than its owner may read or change it. No
// error quotes the contents of a file.
//
// The package starts no goroutines. After concurrent writes of one file, it
// holds what one of them wrote.
package keyfile

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

// SizeMax is far above any file of keys.
const SizeMax = 4 << 20

// Read returns the contents of a file, without white space around it.
func Read(path string) ([]byte, error) { return readFile(path, false) }

// ReadSecret is like [Read], but refuses a file that others than its owner may
// read or change.
func ReadSecret(path string) ([]byte, error) { return readFile(path, true) }

// readFile checks the file before it opens it: opening a pipe would block.
func readFile(path string, secret bool) ([]byte, error) {
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

// Write writes a file atomically. With fresh, an existing file stays and the error is
// [fs.ErrExist].
func Write(path string, text []byte, mode fs.FileMode, fresh bool) error {
	text = append(bytes.TrimSpace(text), '\n')
	if fresh {
		return atomicfile.Create(path, text, mode)
	}
	return atomicfile.Write(path, text, mode)
}
