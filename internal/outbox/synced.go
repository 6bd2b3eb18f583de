package outbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// syncer brings to the disk itself what the embedded server has written of one
// stream. The server would do so by itself, but for all streams and for every
// message, or for none.
//
// It knows how a stream is stored: in files named by rising numbers, of which
// only the last is ever appended to. From a stream that only grows nothing is deleted:
// there, no file is ever replaced. A server that stores in another way is an error, not a lost guarantee.
type syncer struct {
	dir   string
	grows bool
	done  uint64 // number of the last file at the last sync: those before it are whole
	file  os.FileInfo
}

func newSyncer(storeDir, stream string, grows bool) *syncer {
	return &syncer{grows: grows, dir: filepath.Join(streamsDir(storeDir), stream, "msgs")}
}

// syncStream syncs that there is such a stream: its settings, and all directories above its files.
func (s *syncer) syncStream(storeDir string) error {
	storeDir = filepath.Clean(storeDir)
	paths := []string{s.dir}
	for dir := filepath.Dir(s.dir); strings.HasPrefix(dir, storeDir); dir = filepath.Dir(dir) {
		paths = append(paths, dir)
	}
	for _, name := range []string{"meta.inf", "meta.sum"} {
		paths = append(paths, filepath.Join(filepath.Dir(s.dir), name))
	}
	for _, path := range paths {
		if _, err := syncFile(path); err != nil {
			return fmt.Errorf("sync to disk: %w", err)
		}
	}
	return nil
}

// sync returns when all that the server has acknowledged is on the disk.
func (s *syncer) sync() error {
	dir, err := os.Open(s.dir)
	if err != nil {
		return fmt.Errorf("sync to disk: %w", err)
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("sync to disk: %w", err)
	}
	last, before := uint64(0), s.file
	found := before == nil || !s.grows
	for _, name := range names {
		n, ok := fileNumber(name)
		if !ok || n < s.done {
			continue
		}
		file, err := syncFile(filepath.Join(s.dir, name))
		if err != nil {
			return fmt.Errorf("sync to disk: %w", err)
		}
		if n == s.done {
			found = true
			if before != nil && s.grows && !os.SameFile(before, file) {
				return fmt.Errorf("sync to disk: %s was replaced: the server writes to one that has no name any more", filepath.Join(s.dir, name))
			}
		}
		if n > last {
			last, s.file = n, file
		}
	}
	if last == 0 {
		return fmt.Errorf("sync to disk: no stream files in %s", s.dir)
	}
	if !found {
		return fmt.Errorf("sync to disk: %d.blk is gone from %s", s.done, s.dir)
	}
	if last != s.done {
		if err := dir.Sync(); err != nil {
			return fmt.Errorf("sync to disk: %w", err)
		}
	}
	s.done = last
	return nil
}

// fileNumber reads the number of a stream file, such as 12.blk.
func fileNumber(name string) (n uint64, ok bool) {
	number, ok := strings.CutSuffix(name, ".blk")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(number, 10, 64)
	return n, err == nil
}

func syncFile(path string) (os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	return info, errors.Join(err, f.Sync(), f.Close())
}
