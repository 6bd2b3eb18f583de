package clientkeys

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Here inotify, the clock and the ways in which programs replace a file are real.
func TestRealChangesAreSeen(t *testing.T) {
	tests := []struct {
		name   string
		change func(path string) error
	}{
		{"written in place", func(path string) error { return os.WriteFile(path, []byte(two), 0o600) }},
		{"replaced by a rename, as Wazuh does", func(path string) error {
			return errors.Join(os.WriteFile(path+".tmp", []byte(two), 0o600), os.Rename(path+".tmp", path))
		}},
		{"removed and made again", func(path string) error {
			return errors.Join(os.Remove(path), os.WriteFile(path, []byte(two), 0o600))
		}},
		{"moved away and made again, as an editor does", func(path string) error {
			return errors.Join(os.Rename(path, path+"~"), os.WriteFile(path, []byte(two), 0o600))
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "client.keys")
			if err := os.WriteFile(path, []byte(one), 0o600); err != nil {
				t.Fatal(err)
			}
			sets := make(chan *Set, 1)
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() {
				defer close(done)
				Watch(ctx, path, nil,
					func(s *Set, _ []Problem) { sets <- s },
					func(err error) { t.Errorf("failed: %v", err) })
			}()
			if s := <-sets; s.Len() != 1 { // nil is known, so this says that it watches
				t.Errorf("first %d agents", s.Len())
			}
			if err := test.change(path); err != nil {
				t.Fatal(err)
			}
			if s := <-sets; s.Len() != 2 {
				t.Errorf("then %d agents", s.Len())
			}
			cancel()
			<-done
		})
	}
}
