package audit

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// fullDisks are disks on which nothing can be begun: without room, and without inodes.
var fullDisks = map[string]string{"no room": "size=4k", "no inodes": "nr_inodes=2"}

// fullDisk mounts a full disk, and returns what makes room on it.
func fullDisk(t *testing.T, options string) (dir string, makeRoom func()) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, options); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, make([]byte, 4096), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir, func() {
		t.Helper()
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Mount("", dir, "tmpfs", syscall.MS_REMOUNT, "size=64m,nr_inodes=1000"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestALogBeginsOnAFullDisk(t *testing.T) {
	for name, options := range fullDisks {
		t.Run(name, func(t *testing.T) {
			disk, makeRoom := fullDisk(t, options)
			key, err := OpenKey(filepath.Join(disk, "audit.jwk"))
			if err != nil {
				t.Fatal(err)
			}
			dir := filepath.Join(disk, "audit")
			l := mustOpen(t, Config{Dir: dir, Signer: key, Ready: key.WriteFiles})
			fill(l, 3)
			l.maintainLogFiles(time.Now(), true)
			if err := l.State().Err; !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%v", err)
			}
			fill(l, 2)
			makeRoom()
			l.maintainLogFiles(time.Now(), true)
			if err := l.State().Err; err != nil {
				t.Error(err)
			}
			mustClose(t, l)
			keys, err := ReadKeys(filepath.Join(disk, "audit.jwks"))
			if err != nil {
				t.Fatal(err)
			}
			c, err := Verify(dir, Check{Key: keys})
			if err != nil || c.Missing != 0 || c.First != 1 || !c.Closed || c.Signed != c.Head.Seq || c.Lines < 6 {
				t.Errorf("%+v, %v", c, err)
			}
			if again, err := OpenKey(filepath.Join(disk, "audit.jwk")); err != nil || again.KeyID() != key.KeyID() {
				t.Error(err)
			}
		})
	}
}

// A log that was killed goes on, though there is no room even for saying so.
func TestALogGoesOnOnAFullDisk(t *testing.T) {
	for name, options := range fullDisks {
		t.Run(name, func(t *testing.T) {
			if name == "no inodes" {
				options = "nr_inodes=5"
			}
			disk, makeRoom := fullDisk(t, options+",size=16k")
			dir := filepath.Join(disk, "audit")
			l := mustOpen(t, Config{Dir: dir})
			fill(l, 300) // more than there is room for
			l.maintainLogFiles(time.Now(), true)
			l.close.Do(func() { close(l.stop); l.done.Wait(); _ = l.closeLogFiles() }) // as if it was killed
			l = mustOpen(t, Config{Dir: dir})
			fill(l, 100)
			l.maintainLogFiles(time.Now(), true)
			if err := l.State().Err; !errors.Is(err, syscall.ENOSPC) {
				t.Errorf("%v", err)
			}
			makeRoom()
			l.maintainLogFiles(time.Now(), true)
			if err := l.State().Err; err != nil {
				t.Error(err)
			}
			mustClose(t, l)
			if c := verify(t, dir); c.NotClosed > 1 || c.Missing != 0 || !c.Closed {
				t.Errorf("%+v", c)
			}
		})
	}
}
