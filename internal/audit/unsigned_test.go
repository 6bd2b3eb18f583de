package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
)

// appendChained appends lines to the last file of a log as somebody can who has not
// its key: each with the next number and the hash of the one before.
func appendChained(t *testing.T, dir string, members ...string) {
	t.Helper()
	files, err := listLogFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := files[len(files)-1].path
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		lines := bytes.Split(text, []byte("\n"))
		last := lines[len(lines)-2]
		var h struct{ Seq uint64 }
		if err := json.Unmarshal(last, &h); err != nil {
			t.Fatal(err)
		}
		text = fmt.Appendf(text, `{"seq":%d,"prev":"%s","time":"%s",%s}`+"\n", h.Seq+1, digest(sha256.Sum256(last)), time.Now().UTC().Format(timeFormat), m)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// inFiles makes a log of three files. One that was killed has two unsigned lines at its end.
func inFiles(t *testing.T, killed bool) string {
	t.Helper()
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir})
	l.fileMax = 1
	for range 2 {
		fill(l, 3)
		l.maintainLogFiles(time.Now(), true)
	}
	fill(l, 3)
	mustClose(t, l)
	if killed {
		killAfterStart(t, dir)
		appendChained(t, dir, `"kind":"start"`, `"kind":"transition","agent":"001"`)
	}
	if files, err := listLogFiles(dir); err != nil || len(files) != 3 {
		t.Fatal(files, err)
	}
	return dir
}

// killAfterStart leaves a log as a node leaves it that was killed right after its start.
func killAfterStart(t *testing.T, dir string) {
	t.Helper()
	l := mustOpen(t, Config{Dir: dir})
	l.Sync()
	files, err := listLogFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	path := files[len(files)-1].path
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, l)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// removeOld removes the oldest files, and returns what a line would have to say of it.
func removeOld(t *testing.T, dir string) string {
	t.Helper()
	files, err := listLogFiles(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files[:2] {
		if err := os.Remove(f.path); err != nil {
			t.Fatal(err)
		}
	}
	return fmt.Sprintf(`"kind":"removed","first":1,"last":%d`, files[2].first-1)
}

func TestNothingUnsignedChangesHowALogIsChecked(t *testing.T) {
	good := func(t *testing.T, c Checked, err error) {
		if err != nil || c.Missing != 0 || c.First != 1 {
			t.Errorf("%+v, %v", c, err)
		}
	}
	wrong := func(want error) func(*testing.T, Checked, error) {
		return func(t *testing.T, c Checked, err error) {
			if !errors.Is(err, want) {
				t.Errorf("%+v, %v, want %v", c, err, want)
			}
		}
	}
	tests := []struct {
		name   string
		attack func(t *testing.T, dir string) []string // lines
		want   func(*testing.T, Checked, error)
	}{
		{"removed", func(t *testing.T, dir string) []string { return []string{removeOld(t, dir)} }, wrong(ErrMissing)},
		{"removed, and a line that ends a life", func(t *testing.T, dir string) []string {
			return []string{removeOld(t, dir), `"kind":"not_closed","unsigned":0,"torn_bytes":0`}
		}, wrong(ErrMissing)},
		{"removed, behind such a line", func(t *testing.T, dir string) []string {
			return []string{`"kind":"not_closed","unsigned":0,"torn_bytes":0`, removeOld(t, dir)}
		}, wrong(ErrMissing)},
		{"removed, behind an end that is not signed", func(t *testing.T, dir string) []string {
			return []string{removeOld(t, dir), `"kind":"checkpoint","lines":1,"closed":true`}
		}, wrong(errNoSignature)},
		{"removed, behind an end with a signature of something else", func(t *testing.T, dir string) []string {
			return []string{removeOld(t, dir), `"kind":"checkpoint","lines":1,"closed":true,"kid":"k1","sig":"` + base64URL.EncodeToString(ourKey.Sign([]byte("x"))) + `"`}
		}, wrong(errBadSignature)},
		{"removed, behind an end by an unknown key", func(t *testing.T, dir string) []string {
			return []string{removeOld(t, dir), `"kind":"checkpoint","lines":1,"closed":true,"kid":"k2","sig":"` + base64URL.EncodeToString(make([]byte, 64)) + `"`}
		}, func(t *testing.T, c Checked, err error) {
			if err == nil || !strings.Contains(err.Error(), `signed with the key "k2"`) {
				t.Error(c, err)
			}
		}},
		{"a gap", func(*testing.T, string) []string {
			return []string{`"kind":"gap","missing":1000,"because":"no space left"`}
		}, good},
		{"an end of a life", func(*testing.T, string) []string {
			return []string{`"kind":"not_closed","unsigned":0`, `"kind":"not_closed"`}
		}, good},
		{"any other", func(*testing.T, string) []string {
			return []string{`"kind":"stop"`, `"kind":"gone","first":1,"last":7`}
		}, good},
	}
	for _, tt := range tests {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, killed %v", tt.name, killed), func(t *testing.T) {
				dir := inFiles(t, killed)
				appendChained(t, dir, tt.attack(t, dir)...)
				want := tt.want
				if !killed { // nothing but a signed line may follow a signed end
					want = wrong(ErrAfterEnd)
				}
				c, err := Verify(dir, Check{Key: trusted})
				if want(t, c, err); err == nil && (c.Closed || c.NotClosed != 0) {
					t.Errorf("before the next start: %+v", c)
				}
				for i := range 2 {
					l := mustOpen(t, Config{Dir: dir})
					fill(l, 1)
					mustClose(t, l)
					c, err := Verify(dir, Check{Key: trusted})
					if want(t, c, err); err == nil && (!c.Closed || c.NotClosed != 1 || c.Unsigned == 0) {
						t.Errorf("after start %d: %+v", i+1, c)
					}
				}
			})
		}
	}
}

// Half a line behind a signed end is taken away, and the log says that it was there.
func TestHalfALineBehindASignedEndIsReported(t *testing.T) {
	for _, half := range []string{`{"seq":5,"prev"`, strings.Repeat("\x00", 3000)} {
		dir := written(t, 3)
		files, err := listLogFiles(dir)
		if err != nil {
			t.Fatal(err)
		}
		f, err := os.OpenFile(files[0].path, os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(half); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		said := new(bytes.Buffer)
		mustClose(t, mustOpen(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(said, nil))}))
		if c := verify(t, dir); c.NotClosed != 1 {
			t.Errorf("%+v", c)
		}
		if lines := membersOf(t, dir, KindNotClosed); len(lines) != 1 || !strings.Contains(lines[0], fmt.Sprintf(`"torn_bytes":%d`, len(half))) {
			t.Error(lines)
		}
		if !strings.Contains(said.String(), fmt.Sprintf("torn_bytes=%d", len(half))) {
			t.Error(said)
		}
	}
}

// What is behind the last signature of a life is not signed by the next.
func TestANewLifeDoesNotSignWhatAnotherWroteBeforeIt(t *testing.T) {
	dir := written(t, 3)   // lines 1 to 4
	killAfterStart(t, dir) // line 5
	appendChained(t, dir, `"kind":"transition","agent":"007"`, `"kind":"stop"`)
	said := new(bytes.Buffer)
	l := mustOpen(t, Config{Dir: dir, Log: slog.New(slog.NewTextHandler(said, nil))})
	fill(l, 1)
	mustClose(t, l)
	c := verify(t, dir)
	if c.Unsigned != 2 || len(c.UnsignedAt) != 1 || c.UnsignedAt[0] != (Span{6, 7}) || c.Signed != c.Head.Seq {
		t.Errorf("%+v", c)
	}
	if lines := membersOf(t, dir, KindNotClosed); len(lines) != 1 || !strings.HasPrefix(lines[0], `"unsigned":2,`) {
		t.Error(lines)
	}
	if !strings.Contains(said.String(), "its last lines are not signed, and stay so") || !strings.Contains(said.String(), "unsigned=2") {
		t.Error(said)
	}
}

// A life that ends before its first checkpoint has still said that it did not write
// what was before it.
func TestTheFirstLineOfANewLifeIsSignedAtOnce(t *testing.T) {
	dir := inFiles(t, true)
	l := mustOpen(t, Config{Dir: dir})
	l.Sync()
	c := verify(t, dir)
	if c.Signed != c.Head.Seq || c.NotClosed != 1 || c.Unsigned != 2 {
		t.Errorf("%+v", c)
	}
	mustClose(t, l)
}

// Between the removal of old files and the next checkpoint there is no time at which
// the log looks as if somebody else had removed them.
func TestARemovalIsSignedBeforeFilesGo(t *testing.T) {
	dir := t.TempDir()
	l := mustOpen(t, Config{Dir: dir, Max: 8 << 10})
	defer mustClose(t, l)
	removed := false
	for range 30 {
		fill(l, 10)
		l.maintainLogFiles(time.Now(), false) // no checkpoint is due
		c := verify(t, dir)
		removed = removed || c.First > 1
	}
	if !removed {
		t.Error("no file was removed")
	}
}

// A closed log stays closed over a change of its key.
func TestALogThatAnOlderKeyClosedIsClosed(t *testing.T) {
	dir := t.TempDir() + "/audit"
	for range 3 {
		if err := os.RemoveAll(dir + ".jwk"); err != nil {
			t.Fatal(err)
		}
		key, err := OpenKey(dir + ".jwk")
		if err != nil {
			t.Fatal(err)
		}
		l := mustOpen(t, Config{Dir: dir, Signer: key})
		fill(l, 2)
		mustClose(t, l)
	}
	keys, err := ReadKeys(dir + ".jwks")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := Verify(dir, Check{Key: keys}); err != nil || c.NotClosed != 0 || c.Unsigned != 0 {
		t.Error(c, err)
	}
}
