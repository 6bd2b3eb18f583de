package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// maxFile is far above any real settings file; it keeps a wrong path (a log, a device) from filling the memory.
const maxFile = 1 << 20

// Loaded is the settings in effect, and where each came from.
type Loaded struct {
	Config
	Files    []string // the files read, in order; empty if there was none
	Warnings []*Error // elements that were ignored and look like a misspelling of ours

	origins map[string]origin // by setting path; absent: default
}

// origin is the place a setting came from.
type origin struct {
	file string
	line int
	from string // the element it was derived from, "" if it was written out
}

func (o origin) String() string {
	switch {
	case o.from != "":
		return "derived from " + o.from
	case o.file != "" && o.line == 0:
		return o.file
	case o.file != "":
		return fmt.Sprintf("%s:%d", o.file, o.line)
	}
	return "default"
}

// Load reads settings files in order, later values overriding earlier ones; with no path, [DefaultPath] if it
// exists, else defaults. The error of a file that cannot be read wraps the cause; problems inside files come all
// together as an [*Errors].
//
// Of the files that settings name, Load looks only at the ossec.conf of a manager in <home>, for the name of the node; the
// others are the affair of [Loaded.CheckFiles].
func Load(paths ...string) (*Loaded, error) {
	return load(DefaultPath, paths)
}

func load(defaultPath string, paths []string, overrides ...Override) (*Loaded, error) {
	optional := len(paths) == 0
	if optional {
		paths = []string{defaultPath}
	}
	ld := newLoader()
	for _, path := range paths {
		data, err := readFile(path)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ld.add(path, data)
	}
	for _, o := range overrides {
		ld.override(o)
	}
	return ld.finish()
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read settings: %w", err)
	}
	if len(data) > maxFile {
		return nil, &Error{File: path, Problem: "larger than 1 MiB", Hint: "give a settings file in XML"}
	}
	return data, nil
}

// finish settles what depends on several settings.
func (ld *loader) finish() (*Loaded, error) {
	ld.takeManagerName()
	ld.takeClusterName()
	l := ld.loaded
	if home := l.origins[pathHome]; home.file != "" && l.origins[pathClientKeys].file == "" {
		l.Pulse.ClientKeys = filepath.Join(l.Pulse.Home, "etc/client.keys")
		l.origins[pathClientKeys] = origin{home.file, home.line, "home"}
	}
	ld.checkTimeout()
	ld.resolveGroups()
	ld.checkTLSPair()
	ld.checkLogin()
	ld.checkConsole()
	if err := ld.errs.err(); err != nil {
		return nil, err
	}
	return l, nil
}

// takeClusterName names the node as the manager's cluster does, unless <pulse> names it, in whatever order they came.
func (ld *loader) takeClusterName() {
	o := ld.clusterOrigin
	if o.file == "" || ld.failed[pathNodeName] || ld.loaded.origins[pathNodeName].file != "" {
		return
	}
	name := lookup(pathNodeName).field(&ld.loaded.Config)
	if err := name.parse(ld.clusterName); err != nil {
		ld.errs.add(&Error{o.file, o.line, fmt.Sprintf("<node_name>%s</node_name>: %v", quote(ld.clusterName), err),
			"give this node a name of its own with <pulse><node_name>"})
		return
	}
	ld.loaded.origins[pathNodeName] = o
}

// checkTimeout reports at the line of the timeout, or of the interval if that alone was written.
func (ld *loader) checkTimeout() {
	k := ld.loaded.KeepAlive
	if k.Timeout >= k.Interval || ld.failed[pathTimeout] || ld.failed[pathInterval] {
		return
	}
	at := ld.loaded.origins[pathTimeout]
	if at.file == "" {
		at = ld.loaded.origins[pathInterval]
	}
	ld.timeoutTooShort(at, "", k.Timeout, k.Interval)
}

func (ld *loader) timeoutTooShort(at origin, label string, timeout, interval time.Duration) {
	ld.errs.add(&Error{at.file, at.line,
		fmt.Sprintf("%stimeout (%s) is below interval (%s): a live agent would be called dead", label, secondsText(timeout), secondsText(interval)),
		fmt.Sprintf("set <timeout> to at least %s, better %s", secondsText(interval), secondsText(3*interval))})
}
