package audit

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/filelock"
)

// Config says where the log lives.
type Config struct {
	Dir    string       // made with mode 0700; the files have 0600
	Max    int64        // bytes of all files from which the oldest are removed; 0 for 1 GiB. A file has an eighth of it, 64 MiB at most
	Signer Signer       // of checkpoints
	Ready  func() error // nothing is written before it returns nil: the key may not be on the disk yet; nil for always
	Log    *slog.Logger // where it says that it cannot write; nil for slog.Default()
}

const (
	// pendingMax is how many bytes wait to be written while that fails, or is slow.
	// What comes beyond is counted only.
	pendingMax = 16 << 20
	// writeSize is for how many bytes writing does not wait for the linger.
	writeSize = 64 << 10
	// linger is between two writes: what a killed process may lose.
	linger = 50 * time.Millisecond
	// period is the time between two syncs, and between tries to write again: what
	// a power cut may lose.
	period = time.Second
	// checkpointPeriod is the longest time that a line waits to be signed.
	checkpointPeriod = time.Minute
)

// Log is an audit log that is written. Its methods may be called concurrently; Add,
// Sync and Close of a nil Log do nothing.
type Log struct {
	cfg     Config
	log     *slog.Logger
	fileMax int64
	most    int // bytes that are pending
	lock    *filelock.Lock

	mu       sync.Mutex // never held while writing: Add does not wait for the disk
	encoder  *slog.JSONHandler
	line     bytes.Buffer // of the encoder
	second   int64        // Unix time of the last line
	clock    []byte       // that, as lines have it
	chain    chain
	pending  []byte // whole lines that nobody has taken to be written
	unsigned int    // lines since the last checkpoint
	trouble  trouble
	missing  uint64 // lines that were lost since Open
	safe     chain  // what is on the disk itself

	disk    sync.Mutex // held while writing
	files   []file     // the last is the one that is written
	out     *os.File   // that; nil while it cannot be made
	first   uint64     // the number of the first line in the next file, while out is nil
	day     time.Time  // of its first line
	size    int64      // of what is whole in it
	writing []byte     // taken, and not in it yet
	reaches chain      // how far writing goes, or the file when that is empty
	dirty   bool       // written and not synced
	stuck   bool       // the next file could not be made

	wake  chan struct{} // something is pending
	much  chan struct{} // more than writeSize is
	stop  chan struct{}
	done  sync.WaitGroup
	close sync.Once
}

// chain is the end of a log.
type chain struct {
	seq  uint64 // of the last line
	last digest // its
}

// trouble is while lines cannot be written.
type trouble struct {
	err   error // nil for none
	since time.Time
	lost  uint64 // lines that nobody will write any more
}

// Head is how far a log is: the last line's number and hash. Who knows them from
// elsewhere can see whether all lines up to there are still what they were.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"` // SHA-256, base64url
}

// State is how the log is doing.
type State struct {
	Head    Head // of what is on the disk itself
	Err     error
	Since   time.Time // of the error
	Missing uint64    // lines that could not be kept since Open
}

// Open goes on with the log in a directory, or begins it. No other process may
// have it open.
func Open(cfg Config) (*Log, error) {
	if cfg.Max <= 0 {
		cfg.Max = 1 << 30
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	l := &Log{cfg: cfg, log: cfg.Log, fileMax: min(cfg.Max/8, 64<<20), most: pendingMax,
		wake: make(chan struct{}, 1), much: make(chan struct{}, 1), stop: make(chan struct{})}
	l.encoder = slog.NewJSONHandler(&l.line, nil)
	if err := l.resume(); err != nil {
		l.release()
		return nil, err
	}
	l.done.Go(l.run)
	return l, nil
}

// Add adds a line, which is written soon. It waits for nothing and never fails:
// what cannot be written is told of by the log, and in the next line that can. The
// kind is a plain word; seq, prev, time, kind, kid and sig are no names of attributes.
func (l *Log) Add(kind string, attrs ...slog.Attr) {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.add(time.Now(), kind, attrs...)
	n := len(l.pending)
	l.mu.Unlock()
	ring(l.wake)
	if n >= writeSize {
		ring(l.much)
	}
}

func ring(bell chan<- struct{}) {
	select {
	case bell <- struct{}{}:
	default:
	}
}

// State returns how the log is doing now.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return State{Head{l.safe.seq, l.safe.last.String()}, l.trouble.err, l.trouble.since, l.missing}
}

// Sync writes what was added before, and brings it to the disk itself if it can.
func (l *Log) Sync() {
	if l == nil {
		return
	}
	l.disk.Lock()
	defer l.disk.Unlock()
	l.flush()
}

// Close signs and writes what is there, and says that this is the end. What it
// cannot write is an error.
func (l *Log) Close() (err error) {
	if l == nil {
		return nil
	}
	l.close.Do(func() {
		close(l.stop)
		l.done.Wait()
		l.disk.Lock()
		defer l.disk.Unlock()
		l.mu.Lock()
		l.checkpoint(time.Now(), true)
		l.mu.Unlock()
		l.flush()
		err = errors.Join(l.State().Err, l.release())
	})
	return err
}

func (l *Log) release() error {
	var err error
	if l.out != nil {
		err = l.out.Close()
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Release())
	}
	return err
}

// run writes, syncs and signs until Close.
func (l *Log) run() {
	tick := time.NewTicker(period)
	defer tick.Stop()
	rest := time.NewTimer(linger)
	defer rest.Stop()
	wake, signed := l.wake, time.Now()
	for {
		select {
		case <-l.stop:
			return
		case <-wake:
			l.put()
			wake = nil
			rest.Reset(linger)
		case <-rest.C:
			wake = l.wake
		case <-l.much:
			l.put()
		case now := <-tick.C:
			due := now.Sub(signed) >= checkpointPeriod
			if due {
				signed = now
			}
			l.round(now, due)
		}
	}
}

// round is what there is to do from time to time.
func (l *Log) round(now time.Time, sign bool) {
	l.disk.Lock()
	defer l.disk.Unlock()
	if sign {
		l.mu.Lock()
		l.checkpoint(now, false)
		l.mu.Unlock()
	}
	l.look(now)
	l.flush()
	l.turn(now)
}

// path is that of the file whose first line has a number.
func (l *Log) path(first uint64) string { return filepath.Join(l.cfg.Dir, fileName(first)) }
