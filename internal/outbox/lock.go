package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// dirLock keeps a second process out of the directory. The kernel lets go of
// it when the process ends, however it ends.
type dirLock struct{ file *os.File }

// lockDir makes dir (mode 0700), checks that it can be written to and locks it.
func lockDir(dir string) (*dirLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create outbox directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock outbox directory: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock outbox directory %s: another Pulse is using it", dir)
		}
		return nil, fmt.Errorf("lock outbox directory %s: %w", dir, err)
	}
	return &dirLock{f}, probe(dir)
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

func (l *dirLock) release() error { return l.file.Close() }

// errGone says that the store is not where it was. The embedded server goes on
// writing to files that have no name any more, and would not notice.
var errGone = errors.New("the directory was removed or replaced while Pulse was running: what was in it is lost, unless it has only been moved")

// held says whether the directory is still the one that was locked.
func (l *dirLock) held() error {
	ours, err := l.file.Stat()
	if errors.Is(err, fs.ErrClosed) {
		return nil // publishing says so itself
	}
	if err != nil {
		return err
	}
	there, err := os.Stat(l.file.Name())
	if errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(ours, there) {
		return errGone
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
	if err := o.lock.held(); err != nil {
		return err
	}
	for c := range Class(classes) {
		if _, err := os.Stat(filepath.Join(streamsDir(o.cfg.Dir), c.String(), "msgs")); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("stream %s: %w", c, errGone)
		}
	}
	return nil
}
