// Package systemd notifies the service manager that started Pulse, by
// sd_notify(3): of readiness, of the state of the fleet in one line, of being
// alive (the watchdog), and of stopping. Without such a service manager it
// does nothing.
//
// [Notify] starts no goroutine; it blocks the one that calls it.
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

// Node is the node whose state is reported.
type Node interface {
	// Alive returns nil as soon as the detector has made progress, or an error when
	// ctx ends before.
	Alive(ctx context.Context) error
	// Summary returns one line for people on the state of the node.
	Summary() string
}

// Notify reports readiness, and then the state of the node until ctx ends. It
// returns at once without a service manager that listens (NOTIFY_SOCKET). With
// a watchdog (WatchdogSec= of the unit), it does not report a node as alive
// that makes no progress within a third of that time: systemd then ends and
// restarts it.
func Notify(ctx context.Context, node Node, log *slog.Logger) {
	sent, err := daemon.SdNotify(false, daemon.SdNotifyReady+"\nSTATUS="+node.Summary())
	if err != nil {
		log.Warn("cannot notify the service manager that pulse is ready", "err", err)
	}
	if !sent {
		return
	}
	defer func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyStopping+"\nSTATUS=stopping") }()
	limit, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("cannot read the interval of the service manager's watchdog", "err", err)
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
			switch err := checkAlive(ctx, node, limit/3); {
			case ctx.Err() != nil:
			case err != nil:
				log.Error("the detector makes no progress: the service manager's watchdog is not notified", "err", err)
			default:
				_, _ = daemon.SdNotify(false, daemon.SdNotifyWatchdog)
			}
		}
	}
}

// NotifyReloading sends that the settings are being read again; the function that it
// returns sends that this is over. It may be called beside [Notify].
func NotifyReloading(log *slog.Logger) (ended func()) {
	sent, err := daemon.SdNotify(false, daemon.SdNotifyReloading+"\n"+daemon.SdNotifyMonotonicUsec())
	if err != nil {
		log.Warn("cannot notify the service manager that the settings are read again", "err", err)
	}
	if !sent {
		return func() {}
	}
	return func() { _, _ = daemon.SdNotify(false, daemon.SdNotifyReady) }
}

func checkAlive(ctx context.Context, node Node, atMost time.Duration) error {
	within, cancel := context.WithTimeout(ctx, atMost)
	defer cancel()
	if err := node.Alive(within); err != nil {
		return fmt.Errorf("no progress within %v: %w", atMost, err)
	}
	return nil
}
