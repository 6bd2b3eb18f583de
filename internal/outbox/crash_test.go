package outbox

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAFullDiskIsNamed(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	o := mustOpen(t, Config{Dir: dir})
	msgs := messages(Status, 1, 10)
	var err error
	for round := 0; err == nil && round < 1000; round++ {
		for i := range msgs {
			msgs[i].ID += "x"
			msgs[i].Data = make([]byte, 100_000)
		}
		err = o.Publish(testContext(t), msgs)
	}
	if err == nil || !strings.Contains(err.Error(), "store in "+dir) || !strings.Contains(err.Error(), "no space left on device") {
		t.Fatalf("publish: %v", err)
	}
	mustClose(t, o)
	if err := os.WriteFile(filepath.Join(dir, "rest"), make([]byte, 4<<20), 0o600); err == nil {
		t.Fatal("disk is not full")
	}
	if _, err := open(testContext(t), Config{Prefix: prefix, Dir: dir}, quick); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("open: %v", err)
	}
}
