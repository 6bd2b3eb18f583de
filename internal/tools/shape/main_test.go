package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAWordOfANameBeginsWithACapitalLetter(t *testing.T) {
	for name, want := range map[string]int{
		"tell": 1, "Run": 1, "sha256": 1, "URL": 1, "main": 1,
		"parseURL": 2, "HTTPServer": 2, "readFile": 2, "Sum256Of": 2, "read_file": 2,
		"handleIndirectPing": 3, "ServeHTTPRequest": 3, "newTLSConfigFor": 4,
	} {
		if got := countWords(name); got != want {
			t.Errorf("%s has %d words, want %d", name, got, want)
		}
	}
}

// writeTree makes files with the given texts and returns their root.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestOnlyProductCodeIsCounted(t *testing.T) {
	ignored := "package x\n\nfunc ignored() {}\n"
	root := writeTree(t, map[string]string{
		"a/a.go":                 "package a\n\nfunc tell() {}\n\nfunc (t T) readFile() {\n\t_ = func() {}\n}\n",
		"b/b.go":                 "package b\n\nfunc handleIndirectPing() {\n}\n",
		"b/c.go":                 "package b\n",
		"b/b_test.go":            ignored,
		"b/testdata/x.go":        ignored,
		"docs/x.go":              ignored,
		"internal/agentsim/x.go": ignored,
		"internal/demo/x.go":     ignored,
		"internal/tools/y/x.go":  ignored,
		"cmd/pulse-bench/x.go":   ignored,
		".git/x.go":              ignored,
	})
	c, err := readCode(root)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := writeReport(&out, c); err != nil {
		t.Fatal(err)
	}
	want := `functions                 3
  one word                1  33.3 %
  two words               1  33.3 %
  three words or more     1  33.3 %
function length, p95      3  lines
function length, longest  3  lines  readFile in a/a.go:5
files                     3
file length, median       4  lines
product code              12 lines

files per package
    2  b
    1  a
`
	if strings.Join(strings.Fields(out.String()), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := writeOneWordNames(&out, c); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(out.String()); strings.Join(got, " ") != "a (1) tell a.go:3" {
		t.Errorf("one-word names: %q", got)
	}
}

func TestADirectoryWithoutGoCodeIsAnError(t *testing.T) {
	if _, err := readCode(t.TempDir()); err == nil {
		t.Error("no error")
	}
	if _, err := readCode(writeTree(t, map[string]string{"a.go": "package"})); err == nil {
		t.Error("no error for a file that does not parse")
	}
}
