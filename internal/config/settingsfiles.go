package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// settingsExt is the end of a settings file's name. Those of the directory NAME.d belong to the file NAME.conf beside it.
const settingsExt = ".conf"

// maxDropIns is far above any real number of files in a NAME.d.
const maxDropIns = 100

// addDropIns returns paths with, behind each NAME.conf, the files NAME.d/*.conf in the order of their names.
func addDropIns(paths []string) (all []string, err error) {
	for _, path := range paths {
		dropIns, err := listDropIns(path)
		if err != nil {
			return nil, err
		}
		all = append(append(all, path), dropIns...)
	}
	return all, nil
}

// dropInDir returns the directory NAME.d of a settings file NAME.conf, "" for a file of another name.
func dropInDir(path string) string {
	name, ok := strings.CutSuffix(path, settingsExt)
	if !ok || name == "" || strings.HasSuffix(name, "/") {
		return ""
	}
	return name + ".d"
}

// listDropIns returns the settings files in the directory of a settings file. Hidden files are an editor's.
func listDropIns(path string) (files []string, err error) {
	dir := dropInDir(path)
	if dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, readError(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), settingsExt) && !strings.HasPrefix(e.Name(), ".") {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	if len(files) > maxDropIns {
		return nil, &Error{File: dir, Problem: fmt.Sprintf("%d settings files, more than the %d there may be", len(files), maxDropIns), Hint: "join them"}
	}
	return files, nil
}

// UnreadFile is a file with settings of Pulse that is not read.
type UnreadFile struct {
	Path string
	Hint string // what to do about it
}

// maxExamined bounds how many files of one directory are examined.
const maxExamined = 200

// FindUnreadFiles returns the files with settings of Pulse that are where settings files are, and were not read: beside
// the files that were, in their directories NAME.d under another name, and in the manager's own directory.
func (l *Loaded) FindUnreadFiles() (unread []UnreadFile) {
	main := l.mainFiles
	if len(main) == 0 {
		main = []string{DefaultPath}
	}
	into := main[len(main)-1]
	seen := map[string]bool{}
	examine := func(dir string, isCandidate func(name string) bool) {
		if seen[filepath.Clean(dir)] {
			return
		}
		seen[filepath.Clean(dir)] = true
		for _, path := range listSettingsIn(dir, isCandidate) {
			if !l.hasRead(path) {
				unread = append(unread, UnreadFile{path, hintForUnread(path, into)})
			}
		}
	}
	for _, path := range main {
		examine(filepath.Dir(path), func(name string) bool { return strings.HasSuffix(name, settingsExt) })
		if dir := dropInDir(path); dir != "" {
			examine(dir, func(string) bool { return true })
		}
	}
	examine(filepath.Join(l.Pulse.Home, "etc"), func(name string) bool { return strings.HasSuffix(name, settingsExt) })
	return unread
}

func hintForUnread(path, into string) string {
	dir := dropInDir(into)
	switch {
	case dir == "":
		return "name it with --config, or remove it"
	case filepath.Dir(path) == dir:
		return "give it a name that ends in .conf, or remove it"
	}
	return fmt.Sprintf("move it into %s, or remove it", dir)
}

// hasRead reports whether a file is one of those that were read, by whatever name.
func (l *Loaded) hasRead(path string) bool {
	info, err := os.Stat(path)
	return err == nil && slices.ContainsFunc(l.Files, func(read string) bool {
		other, err := os.Stat(read)
		return err == nil && os.SameFile(info, other)
	})
}

// setAside are ends of names of files that are meant not to be read.
var setAside = []string{"~", ".bak", ".backup", ".old", ".orig", ".off", ".disabled", ".example", ".sample", ".swp",
	".rpmnew", ".rpmsave", ".dpkg-old", ".dpkg-new", ".dpkg-dist"}

// listSettingsIn returns the files of a directory that have settings of Pulse.
func listSettingsIn(dir string, isCandidate func(name string) bool) (files []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // of a directory that has to be read, loading returns the error
	}
	for _, e := range entries[:min(len(entries), maxExamined)] {
		name, path := e.Name(), filepath.Join(dir, e.Name())
		aside := strings.HasPrefix(name, ".") || slices.ContainsFunc(setAside, func(end string) bool { return strings.HasSuffix(name, end) })
		if aside || e.IsDir() || !isCandidate(name) {
			continue
		}
		if data, err := readSettingsFile(path); err == nil && hasOwnSettings(parseLenientXML(data)) {
			files = append(files, path)
		}
	}
	return files
}
