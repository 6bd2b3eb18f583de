package outbox

import (
	"log/slog"
	"sync"
	"time"
)

// savePause is how long a cursor file may be behind. Each write is an fsync; being
// old does no harm as long as the other side still knows the IDs.
const savePause = 200 * time.Millisecond

// place is a position in a stream that follows to disk.
type place struct {
	cursor cursor
	log    *slog.Logger

	mu     sync.Mutex
	at     uint64
	saved  uint64
	timer  *time.Timer // nil unless a save is due or under way
	failed bool        // the last save, which was said
	closed bool
	saving sync.WaitGroup
}

func newPlace(c cursor, at uint64, log *slog.Logger) *place {
	return &place{cursor: c, log: log, at: at, saved: at}
}

func (p *place) get() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at
}

// set moves forward only.
func (p *place) set(seq uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if seq <= p.at || p.closed {
		return
	}
	p.at = seq
	if p.timer == nil {
		p.saveLater()
	}
}

func (p *place) saveLater() {
	p.saving.Add(1)
	p.timer = time.AfterFunc(savePause, func() { defer p.saving.Done(); p.save() })
}

func (p *place) save() {
	at := p.get()
	err := p.cursor.save(at)
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
		p.saveLater()
	}
}

func (p *place) close() error {
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
	err := p.cursor.save(p.at)
	if err == nil {
		p.saved = p.at
	}
	return err
}

// reset goes back to the beginning, on disk first.
func (p *place) reset() error {
	_ = p.close() // what it could not save does not matter any more
	if err := p.cursor.save(0); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.saved, p.timer, p.closed = 0, 0, nil, false
	return nil
}
