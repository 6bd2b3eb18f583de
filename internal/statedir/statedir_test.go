package statedir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func mustOpen(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestOneProcessAtATimeHasADirectory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "state")
	if InUse(path) {
		t.Error("one that is not there is in use")
	}
	d := mustOpen(t, path)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o700 || d.Caution != nil {
		t.Error(info.Mode(), err, d.Caution)
	}
	if !InUse(path) {
		t.Error("it is not in use")
	}
	if again, err := Open(path); again != nil || err == nil || !strings.Contains(err.Error(), path+": another Pulse is using it") {
		t.Error(err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if InUse(path) {
		t.Error("it is still in use")
	}
	d = mustOpen(t, path)
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// Who asks whether a directory is in use keeps nobody from starting.
func TestALookAtADirectoryKeepsNobodyOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	mustClose := func(d *Dir) {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
	mustClose(mustOpen(t, path))
	stop := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond) // far more often than anybody asks
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				InUse(path)
			}
		}
	}()
	for range 300 {
		mustClose(mustOpen(t, path))
	}
	close(stop)
	<-done
}

func TestADirectoryThatOthersMayChangeIsRefused(t *testing.T) {
	for mode, want := range map[os.FileMode]string{0o700: "", 0o750: "", 0o755: "", 0o770: "mode 0770", 0o775: "mode 0775", 0o702: "mode 0702", 0o777 | os.ModeSticky: "mode 0777"} {
		path := t.TempDir()
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		d, err := Open(path)
		if err == nil {
			_ = d.Close()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "chmod go-w "+path)) {
			t.Errorf("%v: %v", mode, err)
		}
	}
}

func TestADirectoryOfAnotherUserIsUsedWithACaution(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root may give a directory away")
	}
	path := t.TempDir()
	if err := errors.Join(os.Chmod(path, 0o700), os.Chown(path, 12345, 0)); err != nil {
		t.Fatal(err)
	}
	d := mustOpen(t, path)
	if d.Caution == nil || !strings.Contains(d.Caution.Error(), "belongs to uid 12345") {
		t.Error(d.Caution)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
