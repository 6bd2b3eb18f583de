package audit

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// putOn makes a log write to another file, and returns the one it wrote to.
func (l *Log) putOn(f *os.File) *os.File {
	l.disk.Lock()
	defer l.disk.Unlock()
	l.out, f = f, l.out
	return f
}

func TestAFullDiskIsToldOnceAndWhatHadNoRoomIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir, said := t.TempDir(), new(bytes.Buffer)
		l := mustOpen(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(said, nil))})
		fill(l, 3)
		time.Sleep(2 * syncPeriod)
		full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
		if err != nil {
			t.Skip("no full device here: ", err)
		}
		defer full.Close()
		good := l.putOn(full)
		l.pendingLimit = 256 << 10 // nobody else reads it now
		fill(l, 5)
		time.Sleep(5 * time.Minute)
		if l.State().Err == nil {
			t.Error("it does not say that it cannot write")
		}
		const many = 5000
		fill(l, many)
		time.Sleep(5 * time.Minute)
		if len(l.pending) > l.pendingLimit+lineMax {
			t.Errorf("%d bytes are kept", len(l.pending))
		}
		if l.State().Missing == 0 {
			t.Error("it does not say that lines are missing")
		}
		l.putOn(good)
		time.Sleep(2 * syncPeriod)
		if err := l.State().Err; err != nil {
			t.Error(err)
		}
		fill(l, 2)
		mustClose(t, l)
		c := verify(t, dir)
		if c.Missing == 0 || c.Lines-uint64(c.Missing) == 0 || c.Signed != c.Head.Seq {
			t.Errorf("%+v", c)
		}
		transitions := uint64(0)
		if err := Read(dir, Filter{Kind: "transition"}, func(*Line) error { transitions++; return nil }); err != nil {
			t.Error(err)
		}
		if transitions+c.Missing != 3+5+many+2 {
			t.Errorf("%d lines and %d missing", transitions, c.Missing)
		}
		if n := strings.Count(said.String(), "\n"); n != 2 || !strings.Contains(said.String(), "no space left on device") ||
			!strings.Contains(said.String(), "can be written again") {
			t.Errorf("%d lines were logged:\n%s", n, said)
		}
	})
}

func TestALogThatCannotBeWrittenAtTheEndIsAnError(t *testing.T) {
	l := mustOpen(t, Config{Dir: t.TempDir()})
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no full device here: ", err)
	}
	l.putOn(full).Close()
	fill(l, 1)
	if err := l.Close(); err == nil || !strings.Contains(err.Error(), "no space left on device") {
		t.Error(err)
	}
}

func TestADirectoryThatCannotBeIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(Config{Dir: path}); l != nil || err == nil || !strings.Contains(err.Error(), "make the audit log's directory: ") {
		t.Error(err)
	}
	if _, err := Verify(t.TempDir(), Check{}); err == nil || !strings.Contains(err.Error(), "no audit log in ") {
		t.Error(err)
	}
}

// seeds are whole, torn and strange files.
func seeds(f *testing.F) {
	text, err := os.ReadFile(filepath.Join(written(f, 3), logFileName(1)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(text[:len(text)-20])
	f.Add([]byte("\n\n"))
	f.Add([]byte(`{"seq":1,"prev":"","time":"2026-01-01T00:00:00Z","kind":"checkpoint","sig":""}` + "\n"))
}

// Whatever is in a file, reading it ends, and what is called good is a chain.
func FuzzVerify(f *testing.F) {
	seeds(f)
	path := filepath.Join(f.TempDir(), logFileName(1))
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Verify(filepath.Dir(path), Check{Key: trusted, Heads: []Head{{Seq: 2}}})
		if err == nil && int(c.Lines) != bytes.Count(text, []byte("\n")) {
			t.Errorf("%d lines of %q", c.Lines, text)
		}
		if err := Read(filepath.Dir(path), Filter{Agent: "001"}, func(*Line) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

// Whatever is in a file, a log goes on behind it.
func FuzzOpen(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, logFileName(1)), text, 0o600); err != nil {
			t.Fatal(err)
		}
		l := mustOpen(t, Config{Dir: dir})
		l.Add("start")
		mustClose(t, l)
		n := 0
		if err := Read(dir, Filter{Kind: "start"}, func(*Line) error { n++; return nil }); err != nil || n == 0 {
			t.Error(n, err)
		}
	})
}

var benchAttrs = []slog.Attr{slog.String("agent", "001"), slog.String("name", "web-server-01"), slog.String("ip", "192.168.1.100"),
	slog.Int("from", 0), slog.Int("to", 1), slog.String("reason", "connection_lost")}

func BenchmarkAdd(b *testing.B) {
	l := mustOpen(b, Config{Dir: b.TempDir()})
	defer mustClose(b, l)
	b.ReportAllocs()
	for b.Loop() {
		l.Add("transition", benchAttrs...)
	}
}

// BenchmarkBare is what no chained log of JSON lines can do without: slog's JSON and SHA-256.
func BenchmarkBare(b *testing.B) {
	var text bytes.Buffer
	handler := slog.NewJSONHandler(&text, nil)
	var last [sha256.Size]byte
	b.ReportAllocs()
	for b.Loop() {
		text.Reset()
		record := slog.NewRecord(time.Now(), slog.LevelInfo, "transition", 0)
		record.AddAttrs(benchAttrs...)
		record.AddAttrs(slog.String("prev", base64.RawURLEncoding.EncodeToString(last[:])))
		_ = handler.Handle(context.Background(), record)
		last = sha256.Sum256(text.Bytes())
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := written(b, 100_000)
	var c Checked
	for b.Loop() {
		var err error
		if c, err = Verify(dir, Check{Key: trusted}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.Lines), "ns/line")
}
