package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/wazuh-pulse/pulse/internal/hint"
)

// maxFile is far above any real settings file; it keeps a wrong path (a log, a device) from filling the memory.
const maxFile = 1 << 20

// Loaded is the settings in effect, and where each came from.
type Loaded struct {
	Config
	Files    []string // the files read, in order; empty if there was none
	Warnings []*Error // elements that have no effect: of a manager's file, or set once more

	origins   map[string]origin // by setting path; absent: default
	replaced  map[string]string // the places of other values in earlier files, by setting path
	mainFiles []string          // as given, without those of their directories NAME.d
}

// DescribeFiles returns the names of the files in one line.
func (l *Loaded) DescribeFiles() string {
	return cmp.Or(strings.Join(l.Files, ", "), "no settings file, all defaults")
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
// exists. Behind each NAME.conf it reads the files NAME.d/*.conf, in the order of their names. Without any file the
// defaults are in effect. The error of a file that cannot be read wraps the cause; problems inside files come all
// together as an [*Errors].
//
// Of the files that settings name, Load reads only the ossec.conf of a manager in <home>, for the name of the node;
// [Loaded.CheckFiles] checks the others.
func Load(paths ...string) (*Loaded, error) {
	return loadFiles(DefaultPath, paths)
}

func loadFiles(defaultPath string, paths []string, overrides ...Override) (*Loaded, error) {
	optional := len(paths) == 0
	if optional {
		paths = []string{defaultPath}
	}
	all, err := addDropIns(paths)
	if err != nil {
		return nil, err
	}
	ld := newLoader()
	ld.loaded.mainFiles = paths
	for _, path := range all {
		data, err := readSettingsFile(path)
		if optional && path == defaultPath && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		ld.applyFile(path, data)
	}
	for _, o := range overrides {
		ld.applyOverride(o)
	}
	return ld.finishLoading()
}

func readSettingsFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a named pipe nobody writes to must not hold up a reload
	if err != nil {
		return nil, readError(err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Mode()&fs.ModeNamedPipe != 0 && !strings.HasPrefix(path, "/dev/") {
		return nil, &Error{File: path, Problem: "a named pipe", Hint: "give a settings file in XML"}
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, readError(err)
	}
	if len(data) > maxFile {
		return nil, &Error{File: path, Problem: "larger than 1 MiB", Hint: "give a settings file in XML"}
	}
	return data, nil
}

// readError returns the error of a settings file, or of a directory of them, that cannot be read.
func readError(err error) error {
	err = fmt.Errorf("read settings: %w", err)
	if errors.Is(err, fs.ErrPermission) {
		return hint.Add(err, "let the user who runs this read it: chgrp, and chmod 640, of a directory 750")
	}
	if errors.Is(err, syscall.EISDIR) {
		return hint.Add(err, "give a settings file; those of a directory NAME.d are read behind NAME.conf")
	}
	return err
}

// finishLoading fills in and checks what depends on several settings.
func (ld *loader) finishLoading() (*Loaded, error) {
	ld.adoptHome()
	ld.adoptManagerName()
	ld.adoptClusterName()
	l := ld.loaded
	if home := l.origins[pathHome]; home.file != "" && l.origins[pathClientKeys].file == "" {
		l.Pulse.ClientKeys = filepath.Join(l.Pulse.Home, "etc/client.keys")
		l.origins[pathClientKeys] = origin{home.file, home.line, "home"}
	}
	ld.checkKeepAliveTimeout()
	ld.resolveInheritedValues()
	ld.checkSettingPair(pathTLSCert, pathTLSKey)
	ld.checkServerLogin()
	ld.checkServerConfig()
	ld.warnOfLoneCluster()
	ld.checkJetStreamDomain()
	ld.checkOCSFSubject()
	ld.checkConsoleExposure()
	if err := ld.errs.errOrNil(); err != nil {
		return nil, err
	}
	return l, nil
}

// Override is a setting from the command line.
type Override struct {
	Path   string // below <ossec_config>: "nats/server_url"
	Value  string // as it would be written in a file
	Source string // "--server"
}

// LoadWith is [Load], with overrides that replace the values of all files.
func LoadWith(overrides []Override, paths ...string) (*Loaded, error) {
	return loadFiles(DefaultPath, paths, overrides...)
}

func (ld *loader) applyOverride(o Override) {
	s := lookupSetting(o.Path)
	f := s.field(&ld.loaded.Config)
	err := f.setFromText(o.Value)
	if err == nil {
		delete(ld.failed, o.Path)
		ld.loaded.origins[o.Path] = origin{file: o.Source}
		return
	}
	ld.failed[o.Path] = true
	problem, hint := explainRefusedValue(err, s, f)
	ld.errs.addProblem(&Error{o.Source, 0, problem, hint})
}

// Change is a setting whose value has changed.
type Change struct{ Path, Was, Is string } // Was or Is is empty for one of a group that is new or gone

// Reload returns the settings of a running node after it has read next: the value of
// next where it takes effect at once, else its own. Changed are the settings that differ
// by that, in document order, and waiting those that take effect with a restart.
func (c *Config) Reload(next *Config) (now Config, changed, waiting []Change) {
	now = *c
	now.Groups, now.Silences = slices.Clone(next.Groups), slices.Clone(next.Silences)
	for _, s := range table {
		was, is := s.field(c).String(), s.field(next).String()
		switch {
		case was == is:
		case s.when == atStart:
			waiting = append(waiting, Change{rootElement + "/" + s.path, was, is})
		default:
			if err := s.field(&now).setFromText(is); err != nil {
				panic(fmt.Sprintf("config: %s as it is printed: %v", s.path, err)) // a mistake in the table; a test sees it first
			}
		}
	}
	return now, listSettingChanges(c, &now), waiting
}

func listSettingChanges(was, is *Config) (list []Change) {
	before, after := (&Loaded{Config: *was}).Settings(), (&Loaded{Config: *is}).Settings()
	valueIn := func(all []Setting, path string) string {
		i := slices.IndexFunc(all, func(s Setting) bool { return s.Path == path })
		if i < 0 {
			return ""
		}
		return all[i].Value
	}
	for _, s := range after {
		if old := valueIn(before, s.Path); old != s.Value {
			list = append(list, Change{s.Path, old, s.Value})
		}
	}
	for _, s := range before {
		if !slices.ContainsFunc(after, func(a Setting) bool { return a.Path == s.Path }) {
			list = append(list, Change{s.Path, s.Value, ""})
		}
	}
	return list
}
