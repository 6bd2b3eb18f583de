package streamfiles

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Syncer syncs to disk what the server has written of one stream that only grows. The
// server itself does so for all streams and every message, or for none.
//
// The stream is stored in files named by rising numbers, of which only the last is
// appended to, and none is ever replaced. A server that stores in another way is an
// error, not a lost guarantee.
type Syncer struct {
	storeDir string
	dir      string
	synced   uint64 // number of the last file at the last sync: those before it are complete
	file     os.FileInfo
}

// NewSyncer returns the syncer of a stream.
func NewSyncer(storeDir, stream string) *Syncer {
	return &Syncer{storeDir: filepath.Clean(storeDir), dir: MessagesDir(storeDir, stream)}
}

// SyncSettings syncs the stream's settings, and all directories above its files.
func (s *Syncer) SyncSettings() error {
	paths := []string{s.dir}
	for dir := filepath.Dir(s.dir); strings.HasPrefix(dir, s.storeDir); dir = filepath.Dir(dir) {
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

// Sync returns when all that the server has acknowledged is on the disk.
func (s *Syncer) Sync() error {
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
	found := before == nil
	for _, name := range names {
		n, ok := blockNumber(name)
		if !ok || n < s.synced {
			continue
		}
		file, err := syncFile(filepath.Join(s.dir, name))
		if err != nil {
			return fmt.Errorf("sync to disk: %w", err)
		}
		if n == s.synced {
			found = true
			if before != nil && !os.SameFile(before, file) {
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
		return fmt.Errorf("sync to disk: %d.blk is gone from %s", s.synced, s.dir)
	}
	if last != s.synced {
		if err := dir.Sync(); err != nil {
			return fmt.Errorf("sync to disk: %w", err)
		}
	}
	s.synced = last
	return nil
}

// blockNumber reads the number of a stream file, such as 12.blk.
func blockNumber(name string) (n uint64, ok bool) {
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
