package outbox

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
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

// causedByFullDisk reports whether the store failed since the disk is full. The embedded server
// does not always log why it stores no more.
func (o *Outbox) causedByFullDisk(err error) bool {
	return isDiskFull(err) || !errors.Is(err, errStoreGone) && o.Err() != nil && !hasDiskSpace(o.cfg.Dir)
}

// waitForDiskSpace waits until a disk that was full has space, and restarts the embedded
// server, which stores nothing more after the first message that it could not write. The
// error is why that is not possible, or ctx's.
func (o *Outbox) waitForDiskSpace(ctx context.Context, why error) error {
	o.log.Error("the disk is full: what is to be published waits in memory, and is lost if Pulse ends now", "dir", o.cfg.Dir, "err", why)
	began := time.Now()
	o.server.Stop()
	for tried := false; ; pause(ctx, o.timing.diskRetry) {
		if ctx.Err() != nil {
			return fmt.Errorf("%w (%w)", ctx.Err(), why)
		}
		if err := checkDirReplaced(o.lock); err != nil {
			return err
		}
		if !hasDiskSpace(o.cfg.Dir) {
			continue
		}
		err := o.restartServer(ctx)
		if err == nil {
			break
		}
		o.server.Stop()
		o.server.Fail(err)
		if !tried {
			o.log.Error("there is room on the disk again, and the store cannot be opened: trying again", "err", err)
		}
		tried = true
	}
	o.log.Info("the disk has room again: storing goes on", "dir", o.cfg.Dir, "after", time.Since(began).Round(time.Millisecond).String())
	return nil
}

// restartServer starts the embedded server on the store as it is.
func (o *Outbox) restartServer(ctx context.Context) (err error) {
	if err := streamfiles.Repair(o.cfg.Dir, o.log); err != nil {
		return err
	}
	held, err := streamfiles.HoldFiles(o.cfg.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, held.Release()) }()
	if err := o.server.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, restartWait)
	defer cancel()
	for c := range Class(classes) {
		if held.Removed(c.String()) {
			return fmt.Errorf("the embedded server cannot open stream %s, and its log says why", c)
		}
		if err := o.findLastSequence(ctx, c); err != nil {
			return fmt.Errorf("open stream %s: %w", c, err)
		}
		o.recent[c].addMessages(nil, o.last[c])
	}
	o.status = streamfiles.NewSyncer(o.cfg.Dir, Status.String())
	if err := o.status.Sync(); err != nil {
		return err
	}
	reserveDiskSpace(o.cfg.Dir, false)
	return nil
}

// findLastSequence asks for a stream's last sequence until it is answered: the connection may not have
// noticed yet that it led to the server before.
func (o *Outbox) findLastSequence(ctx context.Context, c Class) error {
	for {
		asking, cancel := context.WithTimeout(ctx, time.Second)
		info, err := o.streams[c].Info(asking)
		cancel()
		if err == nil {
			o.last[c] = info.State.LastSeq
			return nil
		}
		if ctx.Err() != nil || errors.Is(err, jetstream.ErrStreamNotFound) {
			return err
		}
		pause(ctx, 10*time.Millisecond)
	}
}

// restartWait is for how long the embedded server may take to read its streams.
const restartWait = 2 * time.Minute

// selectUnstored returns the messages of a class that are not stored behind a sequence.
func (o *Outbox) selectUnstored(ctx context.Context, c Class, msgs []outgoing, after uint64) ([]outgoing, error) {
	stored := make(map[string]bool)
	for seq := after + 1; seq <= o.last[c]; seq++ {
		m, err := o.streams[c].GetMsg(ctx, seq)
		if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil, err
		}
		if err == nil {
			stored[m.Header.Get(jetstream.MsgIDHeader)] = true
		}
	}
	var rest []outgoing
	for _, m := range msgs {
		if id := m.Header.Get(jetstream.MsgIDHeader); id == "" || !stored[id] {
			rest = append(rest, m)
		}
	}
	if len(rest) > 0 && len(rest) < len(msgs) {
		delete(rest[0].Header, jetstream.ExpectedLastMsgIDHeader)
	}
	return rest, nil
}
