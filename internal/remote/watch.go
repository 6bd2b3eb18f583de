package remote

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/filewatch"
)

const (
	// settleTime is how long the files must not change before they are used: a
	// certificate and its key are seldom replaced in one step.
	settleTime = 300 * time.Millisecond

	// maxSettleTime bounds that wait in a directory that changes all the time.
	maxSettleTime = 3 * time.Second

	// pollPeriod is how often the files are checked besides, for changes that
	// inotify does not report: behind a symbolic link or on a network file
	// system.
	pollPeriod = 10 * time.Second
)

// watchFiles requests a reload when the files may have changed. A change beside them
// counts: in a container, a link there is replaced.
func (r *Remote) watchFiles(ctx context.Context, files []file) {
	cfg := filewatch.Config{Beside: true, Settle: settleTime, SettleMax: maxSettleTime, Poll: pollPeriod, Failed: func(err error) {
		r.log.Warn("cannot watch the files of the NATS login: looking at them from time to time", "every", pollPeriod, "err", err)
	}}
	for _, f := range files {
		cfg.Paths = append(cfg.Paths, f.path)
	}
	filewatch.Watch(ctx, cfg, func(filewatch.Change) time.Duration {
		r.requestReload()
		return 0
	})
}

func (r *Remote) requestReload() {
	select {
	case r.reload <- struct{}{}:
	default: // a reload is requested already
	}
}
