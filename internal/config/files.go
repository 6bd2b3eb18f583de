package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/wazuh-pulse/pulse/internal/keyfile"
)

// CheckFiles opens every file that settings name and the daemon reads: the agents' keys (but for link attach), those of
// the console and, with NATS enabled, those of its login and of TLS. Files with secrets must be private, too. It returns
// all problems as an [*Errors]. State directories are not checked.
func (l *Loaded) CheckFiles() error {
	var errs Errors
	for _, f := range append(l.SecurityFiles(), File{pathClientKeys, l.Pulse.ClientKeys, false}) {
		if !l.isFileUsed(f.Setting) {
			continue
		}
		if err := checkSettingFile(f); err != nil {
			s, o := lookupSetting(f.Setting), l.origins[f.Setting]
			errs.addProblem(&Error{o.file, o.line, fmt.Sprintf("<%s>%s</%s>%s: %v", s.elementName(), f.Path, s.elementName(), o.describeIndirect(), err), fileErrorHint(s, f.Path, err)})
		}
	}
	return errs.errOrNil()
}

// File is a file that a setting names.
type File struct {
	Setting string // its path below <ossec_config>, such as "nats/token_file"
	Path    string
	Secret  bool
}

// SecurityFiles returns the files named by settings that hold secrets, or keys and certificates
// that are trusted.
func (c *Config) SecurityFiles() (all []File) {
	for _, s := range table {
		f := s.field(c)
		_, secret := f.(secretFile)
		if _, trust := f.(trustFile); (secret || trust) && f.String() != "" {
			all = append(all, File{s.path, f.String(), secret})
		}
	}
	return all
}

// isFileUsed reports whether the daemon reads the file of a setting, with the settings as
// they are.
func (l *Loaded) isFileUsed(path string) bool {
	switch {
	case path == pathSigningKey: // it is made if it does not exist, and checked where it is read
		return false
	case path == pathRecipients:
		return l.NATS.Enabled && l.NATS.EncryptMessages
	case path == pathClientKeys: // needed only where Pulse is the manager, which is unknown while <home> cannot be read
		return l.Pulse.Link == "listen" || l.Pulse.Link == "auto" && !l.isHomeUnreadable() && !l.isBesideManager()
	case lookupSetting(path).blockPath() == "nats":
		return l.NATS.Enabled
	}
	return l.Pulse.HTTP != ""
}

// isHomeUnreadable reports whether it is unknown if <home> has a manager. The daemon returns the error for that.
func (l *Loaded) isHomeUnreadable() bool {
	_, err := os.Stat(filepath.Join(l.Pulse.Home, "queue"))
	return l.Pulse.Link == "auto" && errors.Is(err, fs.ErrPermission)
}

// isBesideManager reports whether <home> has a manager, to which link auto attaches.
func (l *Loaded) isBesideManager() bool {
	return slices.ContainsFunc([]string{managersDatabase, managersSocket, managerFile5}, func(name string) bool { return exists(filepath.Join(l.Pulse.Home, name)) })
}

// describeIndirect returns the origin of a setting for an error, "" if file and line are enough.
func (o origin) describeIndirect() string {
	if o.file != "" && o.from == "" {
		return ""
	}
	return " (" + o.String() + ")"
}

// checkSettingFile returns why a file cannot be read, or may not be used.
func checkSettingFile(f File) error {
	access := keyfile.Public
	if f.Secret {
		access = keyfile.Shared
	}
	opened, err := keyfile.Open(f.Path, access)
	if err != nil {
		return err
	}
	return opened.Close()
}

func fileErrorHint(s *setting, file string, err error) string {
	switch {
	case errors.Is(err, keyfile.ErrShared):
		return "make it private: chmod o= " + file
	case errors.Is(err, fs.ErrPermission):
		return "run as a user who may read it, or give Pulse's group the right: chgrp, chmod g+r"
	case s.path == pathRecipients:
		return "put the recipients' public keys there: on the XDR platform's side, pulse keys generate --use enc FILE makes a key, and pulse keys export FILE its public part"
	case s.path == pathClientKeys:
		return "set <home> or <client_keys> to where the manager keeps its agents' keys"
	}
	return "name an existing file, or remove the element"
}
