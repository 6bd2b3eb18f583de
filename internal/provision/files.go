package provision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

const (
	public os.FileMode = 0o644
	secret os.FileMode = 0o600
)

// file is one to be written, below the setup's directory.
type file struct {
	path string
	text []byte
	mode os.FileMode
}

// write replaces the file as a whole, and is on the disk when it returns.
// Directories that it makes are private.
func (f file) write(dir string) error {
	path := filepath.Join(dir, f.path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, f.text, f.mode)
}

// lock keeps a second change of the same setup out, until the process ends or
// the lock is closed.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another pulse provision is at work there; wait until it is done")
		}
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), f.Close())
	}
	return f, nil
}
