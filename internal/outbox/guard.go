package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// guard holds on to the streams' files while the embedded server opens them: if it
// cannot open a stream, for a moment or for good, it removes the directory. It
// holds them by a second name for each, which costs no room.
type guard struct {
	dir  string // of the second names
	root string // of the streams
}

// newGuard takes hold of all streams. Those that a process which was killed meanwhile
// had in its hands, and that are gone, it brings back first.
func newGuard(storeDir string) (*guard, error) {
	g := &guard{dir: filepath.Join(storeDir, "guard"), root: streamsDir(storeDir)}
	if err := g.putBack(); err != nil {
		return nil, fmt.Errorf("bring back streams: %w", err)
	}
	if err := g.hold(); err != nil {
		return nil, errors.Join(fmt.Errorf("hold on to the streams: %w", err), g.letGo())
	}
	return g, nil
}

func (g *guard) hold() error {
	return filepath.WalkDir(g.root, func(path string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && path == g.root {
			return nil
		}
		if err != nil {
			return err
		}
		name, err := filepath.Rel(g.root, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(g.dir, name), 0o700)
		}
		return os.Link(path, filepath.Join(g.dir, name))
	})
}

// lost says whether the server has removed a stream.
func (g *guard) lost(name string) bool {
	_, there := os.Stat(g.held(name))
	_, err := os.Stat(filepath.Join(g.root, name))
	return there == nil && errors.Is(err, fs.ErrNotExist)
}

// held is where a stream is in the guard's hands.
func (g *guard) held(name string) string { return filepath.Join(g.dir, name) }

// putBack puts back what is gone, and lets go of the rest.
func (g *guard) putBack() error {
	entries, err := os.ReadDir(g.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if e.IsDir() && g.lost(e.Name()) {
			err = errors.Join(err, os.MkdirAll(g.root, 0o700), os.Rename(g.held(e.Name()), filepath.Join(g.root, e.Name())))
		}
	}
	return errors.Join(err, g.letGo())
}

func (g *guard) letGo() error { return os.RemoveAll(g.dir) }
