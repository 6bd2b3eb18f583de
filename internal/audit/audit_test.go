package audit

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type testKey struct{ ed25519.PrivateKey }

func (k testKey) KeyID() string              { return "k1" }
func (k testKey) Sign(message []byte) []byte { return ed25519.Sign(k.PrivateKey, message) }
func (k testKey) Public(kid string) ed25519.PublicKey {
	if kid == k.KeyID() {
		return k.PrivateKey.Public().(ed25519.PublicKey)
	}
	return nil
}

var ourKey = testKey{ed25519.NewKeyFromSeed(make([]byte, 32))}

func trusted(kid string) ed25519.PublicKey { return ourKey.Public(kid) }

func mustOpen(t testing.TB, cfg Config) *Log {
	t.Helper()
	if cfg.Signer == nil {
		cfg.Signer = ourKey
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustClose(t testing.TB, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

// fill adds n lines about agents.
func fill(l *Log, n int) {
	for i := range n {
		l.Add("transition", slog.String("agent", fmt.Sprintf("%03d", i)), slog.String("name", "web-server-01"), slog.Int("to", 1))
	}
}

// written makes a log of n lines and returns its directory.
func written(t testing.TB, n int) string {
	t.Helper()
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	fill(l, n)
	mustClose(t, l)
	return dir
}

func verify(t testing.TB, dir string) Checked {
	t.Helper()
	c, err := Verify(dir, Check{Key: trusted})
	if err != nil {
		t.Error(err)
	}
	return c
}

func TestALogThatNobodyTouchedIsGood(t *testing.T) {
	dir := written(t, 10)
	c := verify(t, dir)
	if !c.Closed || c.Live || c.NotClosed != 0 || c.Lines != 11 || c.First != 1 || c.Signed != 11 || c.Checkpoints != 1 || c.Files != 1 || c.Head.Seq != 11 {
		t.Errorf("%+v", c)
	}
	info, err := os.Stat(filepath.Join(dir, logFileName(1)))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}

	l := mustOpen(t, Config{Dir: dir})
	if h := l.State().Head; h != c.Head {
		t.Errorf("head is %v, want %v", h, c.Head)
	}
	fill(l, 5)
	mustClose(t, l)
	if again := verify(t, dir); again.Lines != 18 || again.Signed != 18 {
		t.Errorf("after a restart: %+v", again)
	}
	if c, err := Verify(dir, Check{Heads: []Head{c.Head, c.Head}}); err != nil || c.Heads != 2 {
		t.Error(c, err)
	}
}

// Whatever byte of it is changed, the line it is in is named, in whatever file.
func TestEveryChangedByteIsFoundInItsLine(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	fill(l, 2)
	l.fileMax = 1
	l.maintainLogFiles(time.Now(), true)
	fill(l, 2)
	mustClose(t, l)
	files, err := listLogFiles(dir)
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	verify(t, dir)
	for _, f := range files {
		everyByte(t, f.path, func(line int, what string) {
			_, err := Verify(dir, Check{Key: trusted})
			if bad, ok := errors.AsType[*BadLine](err); !ok || bad.Line != line || bad.Path != f.path {
				t.Fatalf("%s: %s: %v, want line %d", f.path, what, err, line)
			}
		})
	}
	verify(t, dir)
}

// everyByte changes each byte of a file in turn, says so, and changes it back.
func everyByte(t *testing.T, path string, changed func(line int, what string)) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put := func(at int, b byte) {
		if _, err := f.WriteAt([]byte{b}, int64(at)); err != nil {
			t.Fatal(err)
		}
	}
	line := 1
	for i, b := range text {
		for _, to := range []byte{b ^ 1, b ^ 0x20, '\n', '"'} {
			if to != b {
				put(i, to)
				changed(line, fmt.Sprintf("byte %d from %q to %q", i, b, to))
			}
		}
		put(i, b)
		if b == '\n' {
			line++
		}
	}
}

func TestLinesThatWereRemovedInsertedOrCutOffAreMissed(t *testing.T) {
	edit := func(change func(lines []string) []string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, logFileName(1))
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			lines := change(strings.SplitAfter(string(text), "\n"))
			return os.WriteFile(path, []byte(strings.Join(lines, "")), 0o600)
		}
	}
	for _, tt := range []struct {
		name string
		do   func(dir string) error
		line int
		want error
	}{
		{"the first is removed", edit(func(l []string) []string { return l[1:] }), 1, ErrChain},
		{"one is removed", edit(func(l []string) []string { return append(l[:3:3], l[4:]...) }), 4, ErrChain},
		{"one comes twice", edit(func(l []string) []string { return append(l[:3:3], l[2:]...) }), 4, ErrChain},
		{"two are swapped", edit(func(l []string) []string { l[2], l[3] = l[3], l[2]; return l }), 3, ErrChain},
		{"an empty one", edit(func(l []string) []string { return append(append(l[:3:3], "\n"), l[3:]...) }), 4, ErrNoLine},
		{"one that is too long", edit(func(l []string) []string { l[2] = strings.Repeat("x", lineMax+10) + "\n"; return l }), 3, ErrNoLine},
		{"a checkpoint of another log", edit(func(l []string) []string {
			dir := t.TempDir()
			log := mustOpen(t, Config{Dir: dir})
			log.Add("start") // so that it is another log also within one millisecond
			fill(log, 3)
			mustClose(t, log)
			other, _ := os.ReadFile(filepath.Join(dir, logFileName(1)))
			l[4] = strings.SplitAfter(string(other), "\n")[4]
			return l[:5]
		}), 4, ErrChanged},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := written(t, 6)
			if err := tt.do(dir); err != nil {
				t.Fatal(err)
			}
			_, err := Verify(dir, Check{Key: trusted})
			bad, ok := errors.AsType[*BadLine](err)
			if !ok || bad.Line != tt.line || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%v, want line %d", err, tt.line)
			}
		})
	}
}

// What the files cannot tell, a head can that somebody noted.
func TestLinesThatWereCutOffAreMissedByWhoKnowsTheHead(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	fill(l, 6)
	mustClose(t, l)
	once := []Head{verify(t, dir).Head}
	path := filepath.Join(dir, logFileName(1))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	four := strings.Join(strings.SplitAfter(string(text), "\n")[:4], "")
	if err := os.WriteFile(path, []byte(four), 0o600); err != nil {
		t.Fatal(err)
	}
	if c := verify(t, dir); c.Signed != 0 || c.Lines != 4 || c.Closed {
		t.Errorf("%+v", c)
	}
	if _, err := Verify(dir, Check{Heads: once}); !errors.Is(err, ErrCut) || !strings.Contains(err.Error(), ":5: lines were cut off: the log had line 7 once, and ends with 4") {
		t.Error(err)
	}
	other := mustOpen(t, Config{Dir: dir}) // and others written
	fill(other, 6)
	mustClose(t, other)
	if _, err := Verify(dir, Check{Heads: once}); !errors.Is(err, ErrAnew) || !strings.Contains(err.Error(), ":7: ") {
		t.Error(err)
	}
}

func TestASignatureOfAnotherKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	thief := testKey{ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))} // under the same key ID
	l := mustOpen(t, Config{Dir: dir, Signer: thief})
	fill(l, 3)
	mustClose(t, l)
	if _, err := Verify(dir, Check{Key: trusted}); !errors.Is(err, errBadSignature) {
		t.Error(err)
	}
	if _, err := Verify(dir, Check{Key: func(string) ed25519.PublicKey { return nil }}); err == nil || !strings.Contains(err.Error(), `:4: signed with the key "k1", which is not among those given`) {
		t.Error(err)
	}
	if c, err := Verify(dir, Check{}); err != nil || c.Signed != 0 {
		t.Error(c, err)
	}
}

func TestHalfALineThatACrashLeftIsTakenAway(t *testing.T) {
	for _, torn := range []int{1, 50, 150} {
		t.Run(fmt.Sprint(torn), func(t *testing.T) {
			dir := written(t, 6)
			path := filepath.Join(dir, logFileName(1))
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			whole := bytes.LastIndexByte(text[:len(text)-1], '\n') + 1
			if err := os.WriteFile(path, text[:whole+torn], 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Verify(dir, Check{Key: trusted}); !errors.Is(err, ErrTorn) || !strings.Contains(err.Error(), ":7: ") {
				t.Errorf("before: %v", err)
			}
			l := mustOpen(t, Config{Dir: dir})
			fill(l, 2)
			mustClose(t, l)
			if c := verify(t, dir); c.Torn != 0 || c.Lines != 6+2+2+1 || c.NotClosed != 1 || c.Unsigned != 6 {
				t.Errorf("after: %+v", c)
			}
			n := 0
			if err := Read(dir, Filter{Kind: KindNotClosed}, func(l *Line) error {
				n++
				if want := fmt.Sprintf(`"unsigned":6,"torn_bytes":%d}`, torn); !strings.HasSuffix(string(l.Text), want) {
					t.Errorf("%s, want %s", l.Text, want)
				}
				return nil
			}); err != nil || n != 1 {
				t.Error(n, err)
			}
		})
	}
}

func TestTheChainGoesOnFromFileToFileAndTheOldestGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := mustOpen(t, Config{Dir: dir, Max: 32000})
		for range 60 {
			fill(l, 10)
			time.Sleep(syncPeriod)
		}
		mustClose(t, l)
		c := verify(t, dir)
		if c.First == 1 || c.Files < 4 || c.Files > 9 || c.Signed != c.Head.Seq {
			t.Errorf("%+v", c)
		}
		files, err := listLogFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		// The oldest file that is there is removed by somebody else.
		if err := os.Remove(files[0].path); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir, Check{Key: trusted}); !errors.Is(err, ErrMissing) {
			t.Error(err)
		}
		if err := os.Remove(files[2].path); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir, Check{Key: trusted}); !errors.Is(err, ErrChain) {
			t.Error(err)
		}
	})
}

func TestANewDayIsANewFileAndEveryMinuteIsSigned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := mustOpen(t, Config{Dir: dir})
		fill(l, 3)
		time.Sleep(2 * checkpointPeriod)
		if c := verify(t, dir); c.Signed != 4 || c.Lines != 4 { // and what is empty is not signed again
			t.Errorf("%+v", c)
		}
		time.Sleep(24 * time.Hour)
		fill(l, 1)
		time.Sleep(2 * syncPeriod)
		if c := verify(t, dir); c.Files != 2 {
			t.Errorf("%+v", c)
		}
		mustClose(t, l)
		verify(t, dir)
	})
}

func TestReadFindsLinesByTimeAgentAndKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l := mustOpen(t, Config{Dir: dir})
		began := time.Now()
		l.Add("start", slog.String("version", "1"))
		fill(l, 3)
		time.Sleep(time.Hour + syncPeriod/2)
		fill(l, 3)
		l.Add("login_refused", slog.String("agent", "001"), slog.String("why", "\x1b[31m\n\"\u2028\xff"))
		mustClose(t, l)
		for _, tt := range []struct {
			filter Filter
			want   int
		}{
			{Filter{}, 10}, {Filter{Kind: "transition"}, 6}, {Filter{Agent: "001"}, 3},
			{Filter{Agent: "001", Kind: "transition"}, 2}, {Filter{Kind: "none"}, 0},
			{Filter{Since: began.Add(30 * time.Second)}, 6}, {Filter{Until: began.Add(30 * time.Second)}, 4},
			{Filter{Since: began, Until: began.Add(time.Nanosecond)}, 4},
		} {
			n := 0
			if err := Read(dir, tt.filter, func(l *Line) error { n++; return nil }); err != nil || n != tt.want {
				t.Errorf("%+v: %d lines, %v, want %d", tt.filter, n, err, tt.want)
			}
		}
		verify(t, dir)
		for _, path := range []string{filepath.Join(dir, logFileName(1))} {
			text, _ := os.ReadFile(path)
			if bytes.ContainsAny(text, "\x1b") || !bytes.Contains(text, []byte(`\u001b[31m\n\"`)) {
				t.Error("what was said is not escaped")
			}
		}
		stop := errors.New("enough")
		if err := Read(dir, Filter{}, func(*Line) error { return stop }); !errors.Is(err, stop) {
			t.Error(err)
		}
	})
}

func TestALineThatIsTooLongSaysThatItWas(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	l.Add("settings", slog.String("text", strings.Repeat("x", lineMax)))
	mustClose(t, l)
	verify(t, dir)
	if err := Read(dir, Filter{Kind: "settings"}, func(l *Line) error {
		if !strings.Contains(string(l.Text), `"too_long":65`) {
			t.Errorf("%.200s", l.Text)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}
