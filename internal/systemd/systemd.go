// Package systemd tells the service manager that started Pulse how it is, by
// sd_notify(3): that it is ready, a line on how the fleet is, that it still
// watches, and that it stops. Where nobody asked to be told, it does nothing.
//
// [Notify] starts no goroutine and is for the goroutine that calls it.
package systemd

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// statusPeriod is how often the status line is renewed. It is for people.
const statusPeriod = 10 * time.Second

// Node is what is told of.
type Node interface {
	// Alive returns when the node has shown that it still watches, or an error when
	// ctx has ended before.
	Alive(ctx context.Context) error
	// Summary is one line for people on how the node is.
	Summary() string
}

// Notify says that the node is ready, and then tells of it until ctx ends. It
// returns at once without a service manager that listens (NOTIFY_SOCKET). With a
// watchdog (WatchdogSec= of the unit), a node that does not show that it lives
// within a third of that time is not said to: systemd then ends and restarts it.
func Notify(ctx context.Context, node Node, log *slog.Logger) {
	told, err := daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS="+node.Summary())
	if err != nil {
		log.Warn("cannot tell the service manager that pulse is ready", "err", err)
	}
	if !told {
		return
	}
	defer func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping+"\nSTATUS=stopping") }()
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("cannot read what the service manager's watchdog wants", "err", err)
	}
	status := time.NewTicker(statusPeriod)
	defer status.Stop()
	var watchdog <-chan time.Time
	if limit > 0 {
		pulse := time.NewTicker(limit / 3)
		defer pulse.Stop()
		watchdog = pulse.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-status.C:
			_, _ = daemon.SdNotify(false, "STATUS="+node.Summary())
		case <-watchdog:
			switch err := alive(ctx, node, limit/3); {
			case ctx.Err() != nil:
			case err != nil:
				log.Error("pulse does not watch: the service manager's watchdog is not told that it does", "err", err)
			default:
				_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			}
		}
	}
}

func alive(ctx context.Context, node Node, atMost time.Duration) error {
	within, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	if err := node.Alive(within); err != nil {
		return fmt.Errorf("no sign of life within %v: %w", atMost, err)
	}
	return nil
}
