package keys

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/wazuh-pulse/pulse/seal"
)

func TestKeysAreMadeOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "nr_inodes=2"); err != nil {
		t.Skipf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	filler := filepath.Join(dir, "filler")
	if err := os.WriteFile(filler, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	f := &Files{Node: "node01", StateDir: dir}
	signing, writeSigning, err := f.OpenOrHoldSigning()
	if err != nil || writeSigning == nil || writeSigning() == nil || signing.Node != "node01" {
		t.Fatal(signing, err)
	}
	reading, writeReading, err := f.OpenOrHoldReading()
	if err != nil || writeReading == nil || writeReading() == nil {
		t.Fatal(reading, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	// One of the files of the signing key fits, and the other does not.
	if err := syscall.Mount("", dir, "tmpfs", syscall.MS_REMOUNT, "nr_inodes=3"); err != nil {
		t.Fatal(err)
	}
	_ = writeSigning()
	if err := syscall.Mount("", dir, "tmpfs", syscall.MS_REMOUNT, "nr_inodes=100"); err != nil {
		t.Fatal(err)
	}
	for _, write := range []func() error{writeSigning, writeReading} {
		if err := write(); err != nil {
			t.Error(err)
		}
	}
	again, write, err := f.OpenOrHoldSigning()
	if err != nil || write != nil || !again.Equal(signing) {
		t.Errorf("%v, %v", again, err)
	}
	if own, write, err := f.OpenOrHoldReading(); err != nil || write != nil || !own.Equal(reading) {
		t.Errorf("%v, %v", own, err)
	}
	public, err := f.ReadPublicKeys()
	if err != nil || len(public) != 1 || !public[0].Equal(signing) || public[0].Use() != seal.Signing {
		t.Errorf("%v, %v", public, err)
	}
}
