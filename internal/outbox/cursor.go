package outbox

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// cursor is the file that says up to which stream sequence a reader has
// confirmed. It is replaced as a whole, so it is old or new, never torn. Being
// old does no harm: what follows is sent again and dropped by its ID.
type cursor struct{ path string }

func cursorFor(dir, name string) cursor { return cursor{filepath.Join(dir, name)} }

// load returns 0 when there is no cursor yet.
func (c cursor) load() (uint64, error) {
	text, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read cursor: %w", err)
	}
	seq, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read cursor %s: want a sequence number, have %q (delete the file to begin anew)", c.path, text)
	}
	return seq, nil
}

func (c cursor) save(seq uint64) error {
	if err := writeSynced(c.path+".new", strconv.FormatUint(seq, 10)+"\n"); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	if err := os.Rename(c.path+".new", c.path); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	return nil
}

func writeSynced(path, text string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Sync(), f.Close())
}
