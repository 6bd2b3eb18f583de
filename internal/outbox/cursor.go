package outbox

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

// cursor is the file that says up to which stream sequence a reader has
// confirmed. It is replaced as a whole, so it is old or new, never torn. Being
// old does no harm: what follows is sent again and dropped by its ID.
type cursor struct{ path string }

func cursorFor(dir, name string) cursor { return cursor{filepath.Join(dir, name)} }

// errDamaged says that a cursor file does not hold what was written to it.
var errDamaged = errors.New("damaged")

// load returns 0 when there is no cursor yet.
func (c cursor) load() (uint64, error) {
	text, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read cursor: %w", err)
	}
	number, _, _ := strings.Cut(string(text), " ")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || string(text) != cursorText(seq) {
		return 0, fmt.Errorf("read cursor %s: %w", c.path, errDamaged)
	}
	return seq, nil
}

// cursorText has a checksum: a number that is wrong by one bit would have
// messages skipped.
func cursorText(seq uint64) string {
	return fmt.Sprintf("%d %08x\n", seq, crc32.ChecksumIEEE(strconv.AppendUint(nil, seq, 10)))
}

func (c cursor) save(seq uint64) error {
	if err := atomicfile.Write(c.path, []byte(cursorText(seq)), 0o600); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	return nil
}
