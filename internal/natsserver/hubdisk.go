package natsserver

import (
	"context"
	"syscall"
	"time"
)

const (
	// hubRetry is the time between two looks whether a disk that was full has room.
	hubRetry = 10 * time.Second
	// hubSpaceMin is how much room there has to be, in bytes.
	hubSpaceMin = 16 << 20
	// hubRetryMax is the longest time until a server is started again that fails soon after
	// each start.
	hubRetryMax = 5 * time.Minute
)

// restartFailed starts the server again when it stores no more and the disk has room, until
// ctx ends: nats-server stores nothing more in a stream, or at all, after the first message
// that it could not write.
func (h *Hub) restartFailed(ctx context.Context) {
	for wait := h.retry; ; wait = min(2*wait, hubRetryMax) {
		started := time.Now()
		select {
		case <-h.lines.context().Done():
		case <-ctx.Done():
			return
		}
		if time.Since(started) > 2*hubRetryMax {
			wait = h.retry
		}
		h.log.Error("the cluster's NATS server stores no more: it is started again when its disk has room", "err", context.Cause(h.lines.context()))
		for failed := true; failed; {
			select {
			case <-time.After(wait):
			case <-ctx.Done():
				return
			}
			if !h.hasDiskSpace() {
				continue
			}
			h.stopServer()
			err := h.startServer()
			if failed = err != nil; failed {
				h.log.Error("the cluster's NATS server cannot be started again: trying again", "err", err)
			}
		}
		h.log.Info("the cluster's NATS server is started again")
	}
}

// hasDiskSpace reports whether the streams can be written to.
func (h *Hub) hasDiskSpace() bool {
	opts, err := readHubConfig(h.path)
	if err != nil {
		return true // startServer returns it
	}
	var disk syscall.Statfs_t
	return syscall.Statfs(opts.StoreDir, &disk) != nil || uint64(disk.Bsize)*disk.Bavail >= hubSpaceMin && (disk.Files == 0 || disk.Ffree > 0)
}
