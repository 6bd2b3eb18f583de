package daemon

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/listen"
)

// numbersPeriod is how often the numbers of agents' messages are saved. Those since
// then are not known after a crash: agents are asked.
const numbersPeriod = time.Minute

// numbersFile keeps the numbers of agents' messages over lives of the node.
type numbersFile struct {
	path string
	keep bool // save them
	log  *slog.Logger
}

// load returns the numbers of the life before, nil if there was none, and marks in
// the file that another one goes on. What cannot be read is returned as such, and
// known to be damaged by whoever takes it.
func (f *numbersFile) load() []byte {
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = f.markInUse()
	}
	if err != nil {
		f.log.Warn("the numbers of agents' messages are not used", "file", f.path, "err", err)
		return []byte{}
	}
	return bytes.TrimSuffix(data, []byte("\n"))
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
func (f *numbersFile) saveEvery(ctx context.Context, period time.Duration, l *listen.Link) {
	tick := time.NewTicker(period)
	defer tick.Stop()
	f.save(l, false)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			f.save(l, false)
		}
	}
}

// save saves the numbers. They are final once the link has ended.
func (f *numbersFile) save(l *listen.Link, final bool) {
	if !f.keep {
		return
	}
	if err := replaceFile(f.path, l.Numbers(final)); err != nil {
		f.log.Warn("the numbers of agents' messages are not saved: after a restart, agents are asked", "file", f.path, "err", err)
	}
}
