package keyfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestASecretIsReadOnlyWhereTheRuleForItAllowsItsMode(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, []byte(" secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode            fs.FileMode
		shared, private bool
	}{{0o600, true, true}, {0o400, true, true}, {0o640, true, false}, {0o440, true, false}, {0o660, true, false}, {0o604, false, false}, {0o602, false, false}, {0o644, false, false}} {
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		for access, want := range map[Access]bool{Public: true, Shared: tt.shared, Private: tt.private} {
			text, err := Read(path, access)
			if (err == nil) != want || want && string(text) != "secret" || !want && !strings.Contains(err.Error(), "it holds a secret") {
				t.Errorf("mode %o, access %d: %q, %v; want %v", tt.mode, access, text, err, want)
			}
		}
	}
}

func TestWhatIsNoFileOrTooLargeIsNotRead(t *testing.T) {
	dir := t.TempDir()
	pipe, large := filepath.Join(dir, "pipe"), filepath.Join(dir, "large")
	if err := errors.Join(syscall.Mkfifo(pipe, 0o600), os.WriteFile(large, make([]byte, SizeMax+1), 0o600)); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{dir: ErrNotRegular, pipe: ErrNotRegular, large: ErrTooLarge, filepath.Join(dir, "absent"): fs.ErrNotExist} {
		if _, err := Read(path, Public); !errors.Is(err, want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %v", path, err, want)
		}
	}
}
