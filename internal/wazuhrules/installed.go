package wazuhrules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Settings are those of a manager that say which files of rules it reads.
type Settings struct {
	Home     string   // the manager's directory, which the others are relative to
	Dirs     []string // whose *.xml it reads
	Files    []string // that it reads besides
	Excludes []string // that it does not read
}

// Installation is what a manager has of Pulse's rules.
type Installation struct {
	File     string // that has them; empty if they are not installed
	FirstID  int
	Problems []Problem
}

// Problem is something that keeps an installation from its work, and what to do about it.
type Problem struct{ What, Hint string }

const (
	userDir      = "etc/rules"
	maxRuleFile  = 8 << 20 // bytes; Wazuh's largest has 0.5 MiB
	maxRuleFiles = 5000
)

// InstallCommand returns the command that installs the rules.
func InstallCommand(home string) string {
	return fmt.Sprintf("pulse wazuh-rules | install -o wazuh -g wazuh -m 0660 /dev/stdin %s, and restart wazuh-manager", filepath.Join(home, userDir, FileName))
}

// FindInstallation finds Pulse's rules among those that a manager reads.
func FindInstallation(set *Settings) (Installation, error) {
	var in Installation
	files, err := listRuleFiles(set)
	if err != nil {
		return in, err
	}
	owners := make(map[int]string) // by ID, of the rules of other files
	var ours []byte
	for _, file := range files {
		text, err := readRuleFile(file)
		if err != nil {
			in.add(fmt.Sprintf("%s cannot be read: %v", file, err), "let Pulse's user read it: it is in the manager's group")
			continue
		}
		if !isOurs(text) {
			for _, id := range listNewIDs(text) {
				owners[id] = file
			}
			continue
		}
		if in.File != "" {
			in.add(fmt.Sprintf("%s has Pulse's rules too", file), "remove one of the two files")
			continue
		}
		in.File, ours = file, text
	}
	if in.File == "" {
		in.addUnread(set)
		return in, nil
	}
	in.checkRules(ours, owners)
	in.checkFile(set)
	return in, nil
}

func (in *Installation) add(what, hint string) {
	in.Problems = append(in.Problems, Problem{what, hint})
}

// addUnread adds a problem if the rules are where a user's rules are, and the manager does
// not read them.
func (in *Installation) addUnread(set *Settings) {
	file := filepath.Join(set.Home, userDir, FileName)
	if _, err := os.Stat(file); err == nil {
		in.add(file+" is there, and the manager does not read it: its ossec.conf excludes it, or has no such <rule_dir>",
			"put <rule_dir>"+userDir+"</rule_dir> into the <ruleset> of its ossec.conf, and no <rule_exclude> of the file")
	}
}

// checkRules compares the rules with those of this version, and their IDs with others'.
func (in *Installation) checkRules(text []byte, owners map[int]string) {
	ids := listNewIDs(text)
	if len(ids) == 0 {
		in.add(in.File+" has no rules", "install it again")
		return
	}
	in.FirstID = slices.Min(ids)
	if ValidFirstID(in.FirstID) != nil || !bytes.Equal(bytes.TrimSpace(text), bytes.TrimSpace(Format(in.FirstID))) {
		in.add(in.File+" is not of this version of Pulse, or was changed", "install it again; changes of your own belong into another file, with overwrite=\"yes\"")
	}
	for _, id := range ids {
		if owner, taken := owners[id]; taken {
			in.add(fmt.Sprintf("rule %d is in %s too: the manager does not start with both", id, owner),
				fmt.Sprintf("give Pulse's rules other IDs: pulse wazuh-rules --first-id N, with %d free ones from N on", idCount))
			return
		}
	}
}

// checkFile reports whether the manager can read the file, and has read it.
func (in *Installation) checkFile(set *Settings) {
	info, err := os.Stat(in.File)
	if err != nil {
		return
	}
	mode := info.Mode().Perm()
	if mode&0o004 == 0 && (mode&0o040 == 0 || groupOf(in.File) != groupOf(filepath.Join(set.Home, userDir))) {
		in.add(in.File+" cannot be read by the manager's user", "chown wazuh:wazuh "+in.File+" && chmod 0660 "+in.File)
	}
	started, err := os.Stat(filepath.Join(set.Home, "queue/sockets/queue")) // analysisd makes it when it starts
	if err == nil && info.ModTime().After(started.ModTime()) {
		in.add(in.File+" is newer than the start of wazuh-analysisd, which may not have read it yet", "systemctl restart wazuh-manager")
	}
}

func groupOf(path string) uint32 {
	if info, err := os.Stat(path); err == nil {
		if s, ok := info.Sys().(*syscall.Stat_t); ok {
			return s.Gid
		}
	}
	return 0
}

// listRuleFiles returns the files that the manager reads.
func listRuleFiles(set *Settings) (files []string, err error) {
	isExcluded := func(name string) bool {
		return slices.ContainsFunc(set.Excludes, func(x string) bool { return x == name || x == filepath.Base(name) })
	}
	for _, dir := range set.Dirs {
		entries, err := os.ReadDir(filepath.Join(set.Home, dir))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the manager's rules: %w", err)
		}
		for _, entry := range entries {
			if name := filepath.Join(dir, entry.Name()); strings.HasSuffix(name, ".xml") && !isExcluded(name) {
				files = append(files, filepath.Join(set.Home, name))
			}
		}
	}
	for _, name := range set.Files {
		files = append(files, filepath.Join(set.Home, name))
	}
	slices.Sort(files)
	if files = slices.Compact(files); len(files) > maxRuleFiles {
		return nil, fmt.Errorf("read the manager's rules: there are %d files, more than %d", len(files), maxRuleFiles)
	}
	return files, nil
}

func readRuleFile(file string) ([]byte, error) {
	f, err := os.OpenFile(file, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a FIFO is refused below
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("it is no regular file")
	}
	text, err := io.ReadAll(io.LimitReader(f, maxRuleFile+1))
	if err == nil && len(text) > maxRuleFile {
		err = fmt.Errorf("it is larger than %d MiB", maxRuleFile>>20)
	}
	return text, err
}

var (
	comments = regexp.MustCompile(`(?s)<!--.*?-->`)
	ruleTags = regexp.MustCompile(`<rule\s[^>]*>`)
	ruleIDs  = regexp.MustCompile(`\bid\s*=\s*["'](\d{1,9})["']`)
)

// isOurs reports whether a file has Pulse's rules, of any version.
func isOurs(text []byte) bool {
	return bytes.Contains(comments.ReplaceAll(text, nil), []byte(`<group name="pulse,ossec,">`))
}

// listNewIDs returns the IDs of the rules that a file has, without those that overwrite
// another file's.
func listNewIDs(text []byte) (ids []int) {
	for _, tag := range ruleTags.FindAll(comments.ReplaceAll(text, nil), -1) {
		if id := ruleIDs.FindSubmatch(tag); id != nil && !bytes.Contains(tag, []byte("overwrite=")) {
			n, _ := strconv.Atoi(string(id[1]))
			ids = append(ids, n)
		}
	}
	return ids
}
