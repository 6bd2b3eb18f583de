package clientkeys

import (
	"fmt"
	"io/fs"
	"os"
)

// ReadFile reads client.keys as [Parse] does. The error names the file. An
// empty file is a manager without agents, and no error.
func ReadFile(path string) (*Set, []Problem, error) {
	r, err := read(path)
	if err != nil {
		return nil, nil, err
	}
	set, problems := parse(r.text)
	return set, problems, nil
}

// reading is a file's text, and the file as it was when the text was read.
type reading struct {
	text string
	info fs.FileInfo
	torn bool // the file changed meanwhile: the text may be half of each
}

func read(path string) (reading, error) {
	r, err := readOpen(path)
	if err != nil {
		return reading{}, fmt.Errorf("read client keys: %w", err)
	}
	return r, nil
}

func readOpen(path string) (r reading, err error) {
	f, err := os.Open(path)
	if err != nil {
		return r, err
	}
	defer func() { _ = f.Close() }() // nothing was written
	before, err := f.Stat()
	if err != nil {
		return r, err
	}
	if !before.Mode().IsRegular() {
		return r, fmt.Errorf("%s is not a regular file", path)
	}
	if r.text, err = readAll(f, before.Size()); err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	if r.info, err = f.Stat(); err != nil {
		return r, err
	}
	r.torn = !sameState(before, r.info)
	return r, nil
}

// sameState says whether a file seems untouched between two looks at it.
func sameState(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
