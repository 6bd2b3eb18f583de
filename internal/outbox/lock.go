package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/wazuh-pulse/pulse/internal/filelock"
	"github.com/wazuh-pulse/pulse/internal/streamfiles"
)

// lockDir makes dir (mode 0700), locks it and checks that it can be written to: with an
// error of that, there is a lock too.
func lockDir(dir string) (*filelock.Lock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create outbox directory: %w", err)
	}
	l, err := filelock.Acquire(filepath.Join(dir, "lock"))
	switch {
	case errors.Is(err, filelock.ErrLocked):
		return nil, fmt.Errorf("lock outbox directory %s: another Pulse is using it", dir)
	case err != nil:
		return nil, fmt.Errorf("lock outbox directory: %w", err)
	}
	return l, probe(dir)
}

// probe writes a block to dir, so that a full or read-only disk is named at start.
func probe(dir string) error {
	path := filepath.Join(dir, "probe")
	err := os.WriteFile(path, make([]byte, 4096), 0o600)
	if rmErr := os.Remove(path); err == nil {
		err = rmErr
	}
	if err != nil {
		return fmt.Errorf("write to outbox directory: %w", err)
	}
	return nil
}

// errGone says that the store is not where it was. The embedded server goes on
// writing to files that have no name any more, and would not notice.
var errGone = errors.New("the directory was removed or replaced while Pulse was running: what was in it is lost, unless it has only been moved")

// checkReplaced returns errGone if the directory is not the one that was locked.
func checkReplaced(l *filelock.Lock) error {
	replaced, err := l.Replaced()
	switch {
	case replaced:
		return errGone
	case errors.Is(err, fs.ErrClosed):
		return nil // publishing says so itself
	}
	return err
}

// lookPeriod is between two looks at whether the store is still there.
const lookPeriod = time.Second

// stillThere notices now and then that somebody has removed the store, or a stream of it.
func (o *Outbox) stillThere() error {
	if time.Since(o.looked) < lookPeriod {
		return nil
	}
	o.looked = time.Now()
	if err := checkReplaced(o.lock); err != nil {
		return err
	}
	for c := range Class(classes) {
		if _, err := os.Stat(streamfiles.MessagesDir(o.cfg.Dir, c.String())); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("stream %s: %w", c, errGone)
		}
	}
	return nil
}
