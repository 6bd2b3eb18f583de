package audit

import (
	"bytes"
	"cmp"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/filelock"
	"github.com/wazuh-pulse/pulse/internal/wake"
)

// Config is where a log is, and how it is written.
type Config struct {
	Dir    string       // made with mode 0700; the files have 0600
	Max    int64        // bytes of all files from which the oldest are removed; 0 for 1 GiB. A file has an eighth of it, 64 MiB at most
	Signer Signer       // of checkpoints
	Ready  func() error // nothing is written until it returns nil: the key may not be on the disk yet; nil for always ready
	Log    *slog.Logger // of failures to write; nil for slog.Default()
}

const (
	// pendingMax is how many bytes wait to be written while writing fails or is slow.
	// Lines beyond that are only counted.
	pendingMax = 16 << 20
	// writeSize is how many pending bytes are written without waiting for writeDelay.
	writeSize = 64 << 10
	// writeDelay is the time between two writes: what a killed process may lose.
	writeDelay = 50 * time.Millisecond
	// syncPeriod is the time between two syncs, and between retries: what a power cut may
	// lose.
	syncPeriod = time.Second
	// checkpointPeriod is the longest time that a line waits to be signed.
	checkpointPeriod = time.Minute
)

// Log is an audit log that is written. Its methods may be called concurrently; Add,
// Sync and Close of a nil Log do nothing.
type Log struct {
	cfg          Config
	log          *slog.Logger
	fileMax      int64
	pendingLimit int // bytes that are pending
	lock         *filelock.Lock

	mu       sync.Mutex // never held while writing: Add does not wait for the disk
	encoder  *slog.JSONHandler
	line     bytes.Buffer // of the encoder
	second   int64        // Unix time of the last line
	clock    []byte       // that, as lines have it
	chain    chain
	pending  []byte // whole lines that are not in writing yet
	unsigned int    // lines since the last checkpoint
	failure  writeFailure
	missing  uint64 // lines that were lost since Open
	synced   chain  // the end of what is synced

	disk           sync.Mutex // held while writing
	files          []logFile  // the last is the one that is written
	out            *os.File   // that; nil while it cannot be made
	first          uint64     // the number of the first line in the next file, while out is nil
	day            time.Time  // of its first line
	size           int64      // of what is whole in it
	writing        []byte     // lines to be written to out
	written        chain      // the end of writing, or of the file when that is empty
	dirty          bool       // written and not synced
	rotationFailed bool       // the next file could not be made

	wake    wake.Signal // something is pending
	wakeNow wake.Signal // more than writeSize is
	stop    chan struct{}
	done    sync.WaitGroup
	close   sync.Once
}

// chain is the end of a log.
type chain struct {
	seq  uint64 // of the last line
	last digest // its
}

// writeFailure is why lines cannot be written.
type writeFailure struct {
	err   error // nil for none
	since time.Time
	lost  uint64 // lines that had no room, and will not be written
}

// Head is how far a log is: the last line's number and hash. With a
// head from elsewhere, [Verify] detects whether the lines up to it were changed.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"` // SHA-256, base64url
}

// State is the state of a log.
type State struct {
	Head    Head // of what is synced
	Err     error
	Since   time.Time // of the error
	Missing uint64    // lines that could not be kept since Open
}

// Open continues the log in a directory, or begins it. Another process that has it open
// is an error.
func Open(cfg Config) (*Log, error) {
	cfg.Max = cmp.Or(max(cfg.Max, 0), 1<<30)
	l := &Log{cfg: cfg, log: cmp.Or(cfg.Log, slog.Default()), fileMax: min(cfg.Max/8, 64<<20), pendingLimit: pendingMax,
		wake: wake.NewSignal(), wakeNow: wake.NewSignal(), stop: make(chan struct{})}
	l.encoder = slog.NewJSONHandler(&l.line, nil)
	if err := l.resumeChain(); err != nil {
		l.closeLogFiles()
		return nil, err
	}
	l.done.Go(l.runWriter)
	return l, nil
}

// Add adds a line, which is written soon. It does not wait, and never fails: lines that
// cannot be written are reported to Config.Log, and counted in the next line that can.
// The kind is a plain word; attributes must not be named seq, prev, time, kind, kid or sig.
func (l *Log) Add(kind string, attrs ...slog.Attr) {
	if l == nil {
		return
	}
	l.mu.Lock()
	l.addLine(time.Now(), kind, attrs...)
	n := len(l.pending)
	l.mu.Unlock()
	l.wake.Send()
	if n >= writeSize {
		l.wakeNow.Send()
	}
}

// State returns the present state.
func (l *Log) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	return State{Head{l.synced.seq, l.synced.last.String()}, l.failure.err, l.failure.since, l.missing}
}

// Sync writes and syncs what was added before, if it can.
func (l *Log) Sync() {
	if l == nil {
		return
	}
	l.disk.Lock()
	defer l.disk.Unlock()
	l.writeAndSync()
}

// Close signs and writes what is pending, with a checkpoint that closes the log. It
// returns an error if that cannot be written.
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
		l.signPendingLines(time.Now(), true)
		l.mu.Unlock()
		l.writeAndSync()
		err = errors.Join(l.State().Err, l.closeLogFiles())
	})
	return err
}

func (l *Log) closeLogFiles() error {
	var err error
	if l.out != nil {
		err = l.out.Close()
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Release())
	}
	return err
}

// runWriter writes, syncs and signs until Close.
func (l *Log) runWriter() {
	tick := time.NewTicker(syncPeriod)
	defer tick.Stop()
	rest := time.NewTimer(writeDelay)
	defer rest.Stop()
	more, signed := l.wake, time.Now()
	for {
		select {
		case <-l.stop:
			return
		case <-more:
			l.writePendingLines()
			more = nil
			rest.Reset(writeDelay)
		case <-rest.C:
			more = l.wake
		case <-l.wakeNow:
			l.writePendingLines()
		case now := <-tick.C:
			due := now.Sub(signed) >= checkpointPeriod
			if due {
				signed = now
			}
			l.maintainLogFiles(now, due)
		}
	}
}

// maintainLogFiles signs if that is due, replaces a removed file, syncs and rotates.
func (l *Log) maintainLogFiles(now time.Time, sign bool) {
	l.disk.Lock()
	defer l.disk.Unlock()
	if sign {
		l.mu.Lock()
		l.signPendingLines(now, false)
		l.mu.Unlock()
	}
	l.replaceRemovedFile(now)
	l.writeAndSync()
	l.rotateLogFile(now)
}

// logFilePath returns the path of the file that begins with a line's number.
func (l *Log) logFilePath(first uint64) string { return filepath.Join(l.cfg.Dir, logFileName(first)) }
