package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// nextEpoch returns the number of this life of the node and remembers it in
// dir. It is higher than any before, even where the state was lost: it is at
// least the present Unix time.
func nextEpoch(dir string, now time.Time) (uint64, error) {
	path := filepath.Join(dir, "epoch")
	epoch := uint64(max(now.Unix(), 1))
	text, err := os.ReadFile(path)
	switch {
	case err == nil:
		last, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 63) // room for one more
		if err != nil {
			return 0, fmt.Errorf("read %s: want the number of the node's last start, have %.20q; delete the file to go on from the present time", path, text)
		}
		epoch = max(epoch, last+1)
	case !errors.Is(err, fs.ErrNotExist):
		return 0, err
	}
	return epoch, replaceFile(path, strconv.AppendUint(nil, epoch, 10))
}

// replaceFile writes a file whole or not at all, and on the disk before it returns.
func replaceFile(path string, data []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
