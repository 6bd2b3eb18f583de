package streamfiles

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// FileHold keeps the streams' files by a second name for each, which takes no space,
// while the server opens them: it removes the directory of a stream that it cannot
// open, even for a moment only.
type FileHold struct {
	storeDir string
	dir      string // of the second names
}

// HoldFiles holds the files of all streams. Those of streams that are gone, and that
// an earlier process held when it was killed, it puts back first.
func HoldFiles(storeDir string) (*FileHold, error) {
	h := &FileHold{storeDir: storeDir, dir: filepath.Join(storeDir, "guard")}
	if err := h.Release(); err != nil {
		return nil, fmt.Errorf("bring back streams: %w", err)
	}
	if err := h.linkAll(); err != nil {
		return nil, errors.Join(fmt.Errorf("hold on to the streams: %w", err), os.RemoveAll(h.dir))
	}
	return h, nil
}

func (h *FileHold) linkAll() error {
	root := Dir(h.storeDir, "")
	return filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == root {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(h.dir, name), 0o700)
		}
		return os.Link(path, filepath.Join(h.dir, name))
	})
}

// Dir returns the directory of the second names.
func (h *FileHold) Dir() string { return h.dir }

// Removed reports whether the server has removed a stream.
func (h *FileHold) Removed(stream string) bool {
	_, held := os.Stat(filepath.Join(h.dir, stream))
	_, err := os.Stat(Dir(h.storeDir, stream))
	return held == nil && errors.Is(err, fs.ErrNotExist)
}

// SetAside moves the held files of a stream that the server cannot open to where
// damaged files are kept, which is returned, and removes what the server left of it.
func (h *FileHold) SetAside(stream string) (dir string, err error) {
	if err = setAside(h.storeDir, filepath.Join(h.dir, stream), stream); err == nil {
		err = os.RemoveAll(Dir(h.storeDir, stream))
	}
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return damagedDir(h.storeDir), err
}

// Release puts back what the server has removed, and removes the second names of the rest.
func (h *FileHold) Release() error {
	entries, err := os.ReadDir(h.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() && h.Removed(e.Name()) {
			err = errors.Join(err, os.MkdirAll(Dir(h.storeDir, ""), 0o700), os.Rename(filepath.Join(h.dir, e.Name()), Dir(h.storeDir, e.Name())))
		}
	}
	return errors.Join(err, os.RemoveAll(h.dir))
}
