package provision

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/filelock"
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
// the lock is released.
func lock(dir string) (*filelock.Lock, error) {
	l, err := filelock.AcquireDir(dir)
	switch {
	case errors.Is(err, filelock.ErrLocked):
		return nil, fmt.Errorf("lock %s: another pulse provision is at work there; wait until it is done", dir)
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return l, nil
}
