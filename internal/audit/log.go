package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// Config says where the log lives.
type Config struct {
	Dir     string       // made with mode 0700; the files have 0600
	FileMax int64        // bytes from which a file is closed; 0 for 64 MiB
	Max     int64        // bytes of all files from which the oldest are removed; 0 for 1 GiB
	Signer  Signer       // of checkpoints; nil for none, so that who can write files can write the log anew
	Log     *slog.Logger // where it says that it cannot write; nil for slog.Default()
}

const (
	// pendingMax is how many bytes wait to be written while that fails. What comes
	// beyond is counted only.
	pendingMax = 1 << 20
	// writeSize is for how many bytes [Log.Add] writes by itself.
	writeSize = 64 << 10
	// period is the time between two syncs, and between tries to write again.
	period = time.Second
	// checkpointPeriod is the longest time that a line waits to be signed.
	checkpointPeriod = time.Minute
)

// Log is an audit log that is written. Its methods may be called concurrently.
type Log struct {
	cfg Config
	log *slog.Logger

	mu      sync.Mutex
	encoder *slog.JSONHandler // into line
	line    bytes.Buffer
	chain   chain
	files   []file    // the last is the one that is written
	out     *os.File  // that
	day     time.Time // of its first line
	size    int64     // of what is whole in it
	pending []byte    // whole lines that are not written yet

	unsigned int  // lines since the last checkpoint
	dirty    bool // written and not synced
	stuck    bool // the next file could not be made
	trouble  trouble

	stop chan struct{}
	done sync.WaitGroup
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

// Head is how far the log is: the last line's number and hash. Who knows them
// from elsewhere can see that lines behind them are not missing.
type Head struct {
	Seq  uint64 `json:"seq"`
	Hash string `json:"hash"` // SHA-256, base64url
}

// Open goes on with the log in a directory, or begins it.
func Open(cfg Config) (*Log, error) {
	if cfg.FileMax <= 0 {
		cfg.FileMax = 64 << 20
	}
	if cfg.Max <= 0 {
		cfg.Max = 1 << 30
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	l := &Log{cfg: cfg, log: cfg.Log, stop: make(chan struct{})}
	l.encoder = slog.NewJSONHandler(&l.line, &slog.HandlerOptions{ReplaceAttr: rename})
	if err := l.resume(); err != nil {
		return nil, fmt.Errorf("open the audit log: %w", err)
	}
	l.done.Go(l.run)
	return l, nil
}

// rename makes a log record's members those of a line.
func rename(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 {
		switch {
		case a.Key == slog.LevelKey:
			return slog.Attr{}
		case a.Key == slog.MessageKey:
			a.Key = "kind"
		case a.Key == slog.TimeKey && a.Value.Kind() == slog.KindTime:
			a.Value = slog.StringValue(a.Value.Time().UTC().Format("2006-01-02T15:04:05.000Z"))
		}
	}
	return a
}

// Add writes a line: now, if there is much to write, or within a second. It never
// fails: what cannot be written is told of by the log, and in the next line that can.
func (l *Log) Add(kind string, attrs ...slog.Attr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(time.Now(), kind, attrs...)
	if len(l.pending) >= writeSize && l.trouble.err == nil {
		if err := l.write(); err != nil {
			l.fail(err)
		}
	}
}

func (l *Log) add(now time.Time, kind string, attrs ...slog.Attr) {
	if len(l.pending) >= pendingMax {
		l.trouble.lost++
		return
	}
	text := l.encode(now, kind, attrs)
	if len(text) > lineMax {
		text = l.encode(now, kind, []slog.Attr{slog.Int("too_long", len(text))})
	}
	l.append(text)
}

// encode returns a line, which is of use until the next.
func (l *Log) encode(now time.Time, kind string, attrs []slog.Attr) []byte {
	record := slog.NewRecord(now, slog.LevelInfo, kind, 0)
	record.AddAttrs(attrs...)
	l.line.Reset()
	_ = l.encoder.Handle(context.Background(), record) // into memory
	return l.line.Bytes()[1 : l.line.Len()-1]          // without { and the end of the line
}

// opening appends what the next line begins with.
func (l *Log) opening(b []byte) []byte {
	b = append(b, `{"seq":`...)
	b = strconv.AppendUint(b, l.chain.seq+1, 10)
	b = append(b, `,"prev":"`...)
	b = strict.AppendEncode(b, l.chain.last[:])
	return append(b, `",`...)
}

// append puts a line's members behind the chain.
func (l *Log) append(members []byte) {
	from := len(l.pending)
	l.pending = append(l.opening(l.pending), members...)
	l.chain = chain{l.chain.seq + 1, sha256.Sum256(l.pending[from:])}
	l.pending = append(l.pending, '\n')
	l.unsigned++
}

// Head is how far the log is.
func (l *Log) Head() Head {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Head{l.chain.seq, l.chain.last.String()}
}

// Err is why the log cannot be written now, and nil if it can.
func (l *Log) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.trouble.err
}

// Close signs and writes what is there. What it cannot write is an error.
func (l *Log) Close() error {
	close(l.stop)
	l.done.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.checkpoint(time.Now())
	l.flush()
	return errors.Join(l.trouble.err, l.out.Close())
}

// run writes, syncs and signs until Close.
func (l *Log) run() {
	tick := time.NewTicker(period)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-l.stop:
			return
		case now := <-tick.C:
			l.mu.Lock()
			if now.Sub(last) >= checkpointPeriod {
				last = now
				l.checkpoint(now)
			}
			l.flush()
			l.turn(now)
			l.mu.Unlock()
		}
	}
}

// path is that of the file whose first line has a number.
func (l *Log) path(first uint64) string { return filepath.Join(l.cfg.Dir, fileName(first)) }
