package natscontext

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestContextsAreListedByTheirNames(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", dir)
	if names := List(); names != nil {
		t.Errorf("%q where there is no directory", names)
	}
	if err := os.MkdirAll(filepath.Join(dir, "nats", "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"b.json", "a.json", "a..b.json", "c\x1b.json", "notes.txt"} {
		if err := os.WriteFile(filepath.Join(dir, "nats", "context", name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if names := List(); !slices.Equal(names, []string{"a", "b"}) {
		t.Errorf("%q", names)
	}
	if _, err := Read("c"); err == nil || !strings.HasSuffix(err.Error(), "; there are a, b") {
		t.Error(err)
	}
}

// FuzzRead holds that whatever is in a context is understood or refused in one line.
func FuzzRead(f *testing.F) {
	for _, text := range []string{`{}`, `{"url":"nats://me:secret@h:1,tls://h","ca":"~/x"}`, `{"url":"://","nsc":"x"}`, `{"creds":"$HOME","cert":"/dev/null","key":"/dev/null"}`, `{"jetstream_api_prefix":"$JS.hub.API"}`, `[1]`} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), "context.json")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Read(path)
		switch {
		case err != nil && strings.Contains(err.Error(), "\n"):
			t.Errorf("not a line: %q", err)
		case err == nil && (len(c.Servers()) == 0 || strings.Contains(c.Login(), "\n")):
			t.Errorf("%q: %v, %q", text, c.Servers(), c.Login())
		}
	})
}
