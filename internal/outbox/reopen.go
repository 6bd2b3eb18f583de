package outbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/streamfiles"
)

// roomMin is how much room there has to be on a disk that was full, before storing
// is tried again.
const roomMin = 1 << 20

// isFull reports whether an error says that a disk or a quota is full. The embedded server
// gives its errors as text.
func isFull(err error) bool {
	if err == nil {
		return false
	}
	text := err.Error()
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) ||
		strings.Contains(text, syscall.ENOSPC.Error()) || strings.Contains(text, syscall.EDQUOT.Error())
}

// hasRoom reports whether the disk takes messages.
func hasRoom(dir string) bool {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err == nil && uint64(disk.Bsize)*disk.Bavail < roomMin {
		return false
	}
	return !isFull(probe(dir))
}

// fromFullDisk reports whether the store failed since the disk is full. The embedded server
// does not always say why it stores no more.
func (o *Outbox) fromFullDisk(err error) bool {
	return isFull(err) || !errors.Is(err, errGone) && o.Err() != nil && !hasRoom(o.cfg.Dir)
}

// reopen waits until a disk that was full has room, and starts the embedded server anew: it
// stores nothing more after the first message that it could not write. The error is why that
// is not to be, or ctx's.
func (o *Outbox) reopen(ctx context.Context, why error) error {
	o.log.Error("the disk is full: what is to be published waits in memory, and is lost if Pulse ends now", "dir", o.cfg.Dir, "err", why)
	began := time.Now()
	o.server.Stop()
	for tried := false; ; pause(ctx, o.timing.room) {
		if ctx.Err() != nil {
			return fmt.Errorf("%w (%w)", ctx.Err(), why)
		}
		if err := checkReplaced(o.lock); err != nil {
			return err
		}
		if !hasRoom(o.cfg.Dir) {
			continue
		}
		err := o.restart(ctx)
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

// restart starts the embedded server on the store as it is.
func (o *Outbox) restart(ctx context.Context) (err error) {
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
		if err := o.findEnd(ctx, c); err != nil {
			return fmt.Errorf("open stream %s: %w", c, err)
		}
		o.hand(c, nil)
	}
	o.status = streamfiles.NewSyncer(o.cfg.Dir, Status.String())
	if err := o.status.Sync(); err != nil {
		return err
	}
	holdReserve(o.cfg.Dir, false)
	return nil
}

// findEnd asks for a stream's last sequence until it is answered: the connection may not have
// noticed yet that it led to the server before.
func (o *Outbox) findEnd(ctx context.Context, c Class) error {
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

// without returns the messages of a class that are not stored behind a sequence.
func (o *Outbox) without(ctx context.Context, c Class, msgs []*nats.Msg, after uint64) ([]*nats.Msg, error) {
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
	var rest []*nats.Msg
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

const (
	// reserveMax is how much room is kept on the disk, so that Pulse can start when it is full.
	reserveMax  = 8 << 20
	reserveStep = 256 << 10
)

func reservePath(dir string) string { return filepath.Join(dir, "reserve") }

// holdReserve takes room on the disk: a quarter of what there is at most, or all if
// that is what is left of the reserve.
func holdReserve(dir string, full bool) {
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

// freeReserve gives the room back.
func freeReserve(dir string) error { return os.Remove(reservePath(dir)) }
