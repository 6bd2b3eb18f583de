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

// errStoreGone is returned when the store is not where it was. The embedded server goes
// on writing to files that have no name any more.
var errStoreGone = errors.New("the directory was removed or replaced while Pulse was running: what was in it is lost, unless it has only been moved")

// checkDirReplaced returns errGone if the directory is not the one that was locked.
func checkDirReplaced(l *filelock.Lock) error {
	replaced, err := l.Replaced()
	switch {
	case replaced:
		return errStoreGone
	case errors.Is(err, fs.ErrClosed):
		return nil // publishing fails anyway
	}
	return err
}

// storeCheckPeriod is the time between two checks of whether the store is still there.
const storeCheckPeriod = time.Second

// checkStoreExists checks now and then whether the store, or a stream of it, was removed.
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
	// reserveMax is how much space is reserved on the disk, so that Pulse can start when it is full.
	reserveMax  = 8 << 20
	reserveStep = 256 << 10
)

func reservePath(dir string) string { return filepath.Join(dir, "reserve") }

// reserveDiskSpace reserves space on the disk: a quarter of what is free at most, or, on
// a full disk, all of it, which is what is left of the reserve.
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
		return // the disk is full
	}
	defer f.Close()
	for size := min(reserveMax, share); size > 0; size -= reserveStep {
		if syscall.Fallocate(int(f.Fd()), 0, 0, size) == nil {
			return
		}
	}
}

// releaseDiskReserve frees the reserved space.
func releaseDiskReserve(dir string) error { return os.Remove(reservePath(dir)) }

// diskSpaceMin is how much has to be free on a disk that was full, before storing
// is tried again.
const diskSpaceMin = 1 << 20

// isDiskFull reports whether an error is that of a full disk or quota. The embedded
// server has its errors as text.
func isDiskFull(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(text, syscall.ENOSPC.Error()) || strings.Contains(text, syscall.EDQUOT.Error())
}

// hasDiskSpace reports whether messages can be written to the disk.
func hasDiskSpace(dir string) bool {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err == nil && uint64(disk.Bsize)*disk.Bavail < diskSpaceMin {
		return false
	}
	return !isDiskFull(probeDir(dir))
}
