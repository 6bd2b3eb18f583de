package outbox

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
)

// savePause is how long a cursor file may be behind. Each write is an fsync; being
// old does no harm as long as the other side still remembers the IDs.
const savePause = 200 * time.Millisecond

// position is a position in a stream, written to disk a little later.
type position struct {
	cursor cursor
	log    *slog.Logger

	mu     sync.Mutex
	at     uint64
	saved  uint64
	timer  *time.Timer // nil unless a save is due or under way
	failed bool        // the last save, which was logged
	closed bool
	saving sync.WaitGroup
}

func newPosition(c cursor, at uint64, log *slog.Logger) *position {
	return &position{cursor: c, log: log, at: at, saved: at}
}

func (p *position) sequence() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// advanceTo does nothing for a position that is not ahead.
func (p *position) advanceTo(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq <= p.at || p.closed {
		return
	}
	p.at = seq
	if p.timer == nil {
		p.scheduleSave()
	}
}

func (p *position) scheduleSave() {
	p.saving.Add(1)
	p.timer = time.AfterFunc(savePause, func() { defer p.saving.Done(); p.saveSequence() })
}

func (p *position) saveSequence() {
	at := p.sequence()
	err := p.cursor.saveSequence(at)
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		p.saved = at
	} else if !p.failed {
		p.log.Error("cannot keep the position: after a crash, messages since will be read again", "position", p.saved, "err", err)
	}
	p.failed = err != nil
	p.timer = nil
	if p.at != p.saved && !p.closed {
		p.scheduleSave()
	}
}

func (p *position) close() error {
	p.mu.Lock()
	p.closed = true
	if p.timer != nil && p.timer.Stop() {
		p.saving.Done()
	}
	p.mu.Unlock()
	p.saving.Wait()
	if p.at == p.saved {
		return nil
	}
	err := p.cursor.saveSequence(p.at)
	if err == nil {
		p.saved = p.at
	}
	return err
}

// resetToStart sets the position to the beginning, on disk first.
func (p *position) resetToStart() error {
	_ = p.close() // what it could not save is of no use any more
	if err := p.cursor.saveSequence(0); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.saved, p.timer, p.closed = 0, 0, nil, false
	return nil
}

// cursor is the file with the stream sequence up to which a reader has
// confirmed. It is replaced as a whole, so it is old or new, never torn. Being
// old does no harm: what follows is sent again and dropped by its ID.
type cursor struct{ path string }

func cursorFor(dir, name string) cursor { return cursor{filepath.Join(dir, name)} }

// errDamaged is returned when a file does not hold what was written to it.
var errDamaged = errors.New("damaged")

// loadSequence returns 0 when there is no cursor yet.
func (c cursor) loadSequence() (uint64, error) {
	text, err := os.ReadFile(c.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read cursor: %w", err)
	}
	number, _, _ := strings.Cut(string(text), " ")
	seq, err := strconv.ParseUint(number, 10, 64)
	if err != nil || string(text) != formatCursor(seq) {
		return 0, fmt.Errorf("read cursor %s: %w", c.path, errDamaged)
	}
	return seq, nil
}

// exists reports whether there is a cursor, or something in its place.
func (c cursor) exists() bool {
	_, err := os.Stat(c.path)
	return !errors.Is(err, fs.ErrNotExist)
}

// formatCursor has a checksum: a number that is wrong by one bit would have
// messages skipped.
func formatCursor(seq uint64) string {
	return fmt.Sprintf("%d %08x\n", seq, crc32.ChecksumIEEE(strconv.AppendUint(nil, seq, 10)))
}

func (c cursor) saveSequence(seq uint64) error {
	if err := atomicfile.Write(c.path, []byte(formatCursor(seq)), 0o600); err != nil {
		return fmt.Errorf("write cursor: %w", err)
	}
	return nil
}
