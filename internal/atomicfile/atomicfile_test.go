package atomicfile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestAFileIsReplacedWholeWithItsMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for _, w := range []struct {
		text string
		mode fs.FileMode
	}{{"first", 0o600}, {"second and longer", 0o644}, {"", 0o600}} {
		if err := Write(path, []byte(w.text), w.mode); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		info, statErr := os.Stat(path)
		if err := errors.Join(err, statErr); err != nil || string(text) != w.text || info.Mode() != w.mode {
			t.Errorf("have %q, mode %v: %v; want %q, %v", text, info.Mode(), err, w.text, w.mode)
		}
	}
	checkOnlyFile(t, path)
}

func TestAFileThatIsThereIsNotCreatedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := Create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, []byte("second"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
	if text, err := os.ReadFile(path); string(text) != "first" {
		t.Errorf("have %q: %v", text, err)
	}
	checkOnlyFile(t, path)
}

func TestAFileThatCannotBeReplacedStays(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(path, "full"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Write(path, []byte("text"), 0o600); err == nil {
		t.Error("a directory was replaced by a file")
	}
	checkOnlyFile(t, path)
}

func TestAFileWrittenByManyAtOnceHoldsWhatOneWrote(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			if err := Write(path, bytes.Repeat([]byte{'a' + byte(i)}, 5000), 0o600); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	text, err := os.ReadFile(path)
	if err != nil || len(text) != 5000 || !bytes.Equal(text, bytes.Repeat(text[:1], 5000)) {
		t.Errorf("have %d bytes of several writers: %v", len(text), err)
	}
	checkOnlyFile(t, path)
}

func TestLeftoversOfACrashAreRemovedAndWritesUnderWayAreNot(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * leftoverAge)
	for name, at := range map[string]time.Time{".epoch.123" + unfinished: old, ".epoch.456" + unfinished: time.Now(), ".hidden": old, "mine" + unfinished: old} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, nil, 0o600), os.Chtimes(path, at, at)); err != nil {
			t.Fatal(err)
		}
	}
	if err := RemoveLeftovers(dir); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("%d files are left: %v", len(left), err)
	}
	if _, err := os.Stat(filepath.Join(dir, ".epoch.123"+unfinished)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the leftover is still there: %v", err)
	}
}

// checkOnlyFile fails the test if anything but path is in its directory.
func checkOnlyFile(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("the directory has %v: %v", entries, err)
	}
}
