package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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
	return l, probeDir(dir)
}

// probeDir writes a block to dir, so that a full or read-only disk is named at start.
func probeDir(dir string) error {
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

// errStoreGone says that the store is not where it was. The embedded server goes on
// writing to files that have no name any more, and would not notice.
var errStoreGone = errors.New("the directory was removed or replaced while Pulse was running: what was in it is lost, unless it has only been moved")

// checkDirReplaced returns errGone if the directory is not the one that was locked.
func checkDirReplaced(l *filelock.Lock) error {
	replaced, err := l.Replaced()
	switch {
	case replaced:
		return errStoreGone
	case errors.Is(err, fs.ErrClosed):
		return nil // publishing says so itself
	}
	return err
}

// storeCheckPeriod is between two looks at whether the store is still there.
const storeCheckPeriod = time.Second

// checkStoreExists notices now and then that somebody has removed the store, or a stream of it.
func (o *Outbox) checkStoreExists() error {
	if time.Since(o.storeChecked) < storeCheckPeriod {
		return nil
	}
	o.storeChecked = time.Now()
	if err := checkDirReplaced(o.lock); err != nil {
		return err
	}
	for c := range Class(classes) {
		if _, err := os.Stat(streamfiles.MessagesDir(o.cfg.Dir, c.String())); errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("stream %s: %w", c, errStoreGone)
		}
	}
	return nil
}

const (
	// reserveMax is how much room is kept on the disk, so that Pulse can start when it is full.
	reserveMax  = 8 << 20
	reserveStep = 256 << 10
)

func reservePath(dir string) string { return filepath.Join(dir, "reserve") }

// reserveDiskSpace takes room on the disk: a quarter of what there is at most, or all if
// that is what is left of the reserve.
func reserveDiskSpace(dir string, full bool) {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return
	}
	share := int64(disk.Bavail) * int64(disk.Bsize)
	if !full {
		share /= 4
	}
	f, err := os.OpenFile(reservePath(dir), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return // there is no room
	}
	defer f.Close()
	for size := min(reserveMax, share); size > 0; size -= reserveStep {
		if syscall.Fallocate(int(f.Fd()), 0, 0, size) == nil {
			return
		}
	}
}

// releaseDiskReserve gives the room back.
func releaseDiskReserve(dir string) error { return os.Remove(reservePath(dir)) }

// diskSpaceMin is how much room there has to be on a disk that was full, before storing
// is tried again.
const diskSpaceMin = 1 << 20

// isDiskFull reports whether an error says that a disk or a quota is full. The embedded server
// gives its errors as text.
func isDiskFull(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(text, syscall.ENOSPC.Error()) || strings.Contains(text, syscall.EDQUOT.Error())
}

// hasDiskSpace reports whether the disk takes messages.
func hasDiskSpace(dir string) bool {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err == nil && uint64(disk.Bsize)*disk.Bavail < diskSpaceMin {
		return false
	}
	return !isDiskFull(probeDir(dir))
}
