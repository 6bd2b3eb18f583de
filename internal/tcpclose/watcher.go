// Package tcpclose finds out when TCP connections to ports of this host end, whichever
// process serves them: the kernel announces that on a netlink socket, and where it does
// not, the list of connections in /proc is compared with that of a second before.
//
// [Watcher.Run] works in the goroutine that calls it, and so do the functions that are
// given to it. It takes no special right.
package tcpclose

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// pollPeriod is the time between two readings of the list of connections, where the
// kernel does not announce their ends.
const pollPeriod = time.Second

// Watcher watches connections.
type Watcher struct {
	Poll bool // do not ask the kernel for announcements
	Log  *slog.Logger

	announced atomic.Bool
}

// IsAnnounced reports whether the kernel announces the ends of connections now. It may
// be called concurrently.
func (w *Watcher) IsAnnounced() bool { return w.announced.Load() }

// Run calls closed with the remote end of each connection that ends, of those to a
// port that is watched, until ctx ends.
func (w *Watcher) Run(ctx context.Context, watched func(port uint16) bool, closed func(netip.AddrPort)) {
	if !w.Poll {
		socket, err := openAnnouncements()
		if err == nil {
			w.announced.Store(true)
			w.readAnnouncements(ctx, socket, watched, closed)
			w.announced.Store(false)
			return
		}
		w.Log.Warn("the kernel does not announce the ends of connections: looking every second", "err", err)
	}
	w.pollConnections(ctx, watched, closed)
}

// readAnnouncements reads the announcements until ctx ends. Where too many come at
// once, some are lost; then the agents' own silence has to be enough.
func (w *Watcher) readAnnouncements(ctx context.Context, socket *os.File, watched func(uint16) bool, closed func(netip.AddrPort)) {
	stop := context.AfterFunc(ctx, func() { _ = socket.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	defer func() { _ = socket.Close() }() // it was only read
	buf := make([]byte, maxAnnouncement)
	logged := false
	for ctx.Err() == nil {
		n, err := socket.Read(buf)
		if err == nil {
			err = parseAnnouncements(buf[:n], watched, closed)
		}
		if errors.Is(err, unix.EINTR) || err == nil || ctx.Err() != nil {
			continue
		}
		if !logged {
			logged = true
			w.Log.Warn("some ends of connections were missed: their agents are found by their silence", "err", err)
		}
		if errors.Is(err, os.ErrClosed) {
			return
		}
	}
}

// pollConnections compares the list of connections with the one a second before.
func (w *Watcher) pollConnections(ctx context.Context, watched func(uint16) bool, closed func(netip.AddrPort)) {
	tick := time.NewTicker(pollPeriod)
	defer tick.Stop()
	var before map[netip.AddrPort]bool
	failing := false
	for {
		now, err := readConnections(watched)
		switch {
		case err == nil:
			for remote := range before {
				if !now[remote] {
					closed(remote)
				}
			}
			before, failing = now, false
		case !failing:
			failing = true
			w.Log.Error("the agents' connections cannot be read", "err", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}
