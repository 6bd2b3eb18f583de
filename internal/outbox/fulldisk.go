package outbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/streamfiles"
)

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
		o.addToCache(c, nil)
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
func (o *Outbox) selectUnstored(ctx context.Context, c Class, msgs []*nats.Msg, after uint64) ([]*nats.Msg, error) {
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
