package daemon

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/listen"
)

const (
	// numbersPeriod is how often the numbers of agents' messages are saved for good.
	numbersPeriod = time.Minute
	// recentPeriod is how often they are handed to the system, which keeps them when
	// this process is killed. Of those since then agents are asked.
	recentPeriod = 2 * time.Second
)

// numbersFile keeps the numbers of agents' messages over lives of the node.
type numbersFile struct {
	path string
	keep bool // save them
	log  *slog.Logger

	recent *os.File // written in place and never synced; nil before saveEvery
	last   []byte   // its content
}

func (f *numbersFile) recentPath() string { return f.path + ".recent" }

// load returns the numbers of the life before, none if there was none, and marks in
// the file that another one goes on. What cannot be read is returned as such, and
// known to be damaged by whoever takes it.
func (f *numbersFile) load() [][]byte {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.markInUse()
	}
	if err != nil {
		f.log.Warn("the numbers of agents' messages are not used", "file", f.path, "err", err)
		return [][]byte{{}}
	}
	all := [][]byte{bytes.TrimSuffix(data, []byte("\n"))}
	if recent, err := os.ReadFile(f.recentPath()); err == nil && len(recent) > 0 && !isFinal(all[0]) {
		all = append(all, recent) // torn only if the process was killed within a write: then agents are asked
	}
	return all
}

func isFinal(saved []byte) bool {
	return len(saved) > listen.NumbersFinal && saved[listen.NumbersFinal] != 0
}

// markInUse writes in place, which a full disk allows.
func (f *numbersFile) markInUse() error {
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = file.WriteAt([]byte{0}, int64(listen.NumbersFinal))
	return errors.Join(err, file.Sync(), file.Close())
}

// saveEvery saves the numbers now and in each period until ctx ends.
func (f *numbersFile) saveEvery(ctx context.Context, l *listen.Link) {
	if !f.keep {
		return
	}
	whole, part := time.NewTicker(numbersPeriod), time.NewTicker(recentPeriod)
	defer whole.Stop()
	defer part.Stop()
	f.save(l, false)
	var err error
	if f.recent, err = os.OpenFile(f.recentPath(), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		f.warn(err)
	} else {
		defer f.recent.Close()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-whole.C:
			f.save(l, false)
		case <-part.C:
			f.saveRecent(l)
		}
	}
}

// save saves the numbers. They are final once the link has ended.
func (f *numbersFile) save(l *listen.Link, final bool) {
	if !f.keep {
		return
	}
	if err := atomicfile.Write(f.path, append(l.Numbers(final), '\n'), 0o600); err != nil {
		f.warn(err)
	}
}

// saveRecent hands the numbers to the system. What fails is made up for by save.
func (f *numbersFile) saveRecent(l *listen.Link) {
	if f.recent == nil {
		return
	}
	now := l.Numbers(false)
	if bytes.Equal(now, f.last) {
		return
	}
	if _, err := f.recent.WriteAt(now, 0); err == nil && len(now) < len(f.last) {
		_ = f.recent.Truncate(int64(len(now)))
	}
	f.last = now
}

func (f *numbersFile) warn(err error) {
	f.log.Warn("the numbers of agents' messages are not saved: after a restart, agents are asked", "file", f.path, "err", err)
}
