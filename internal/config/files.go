package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/wazuh-pulse/pulse/internal/keyfile"
)

// CheckFiles opens every file that settings name and the daemon reads: the agents' keys (but for link attach), those of
// the console and, with NATS enabled, those of its login and of TLS. Those with secrets must be private, too. It returns
// all problems as an [*Errors]. State directories are not looked at.
func (l *Loaded) CheckFiles() error {
	var errs Errors
	for _, f := range append(l.SecurityFiles(), File{pathClientKeys, l.Pulse.ClientKeys, false}) {
		if !l.isUsed(f.Setting) {
			continue
		}
		if err := checkFile(f); err != nil {
			s, o := lookup(f.Setting), l.origins[f.Setting]
			errs.add(&Error{o.file, o.line, fmt.Sprintf("<%s>%s</%s>%s: %v", s.name(), f.Path, s.name(), o.note(), err), fileHint(s, f.Path, err)})
		}
	}
	return errs.err()
}

// File is a file that a setting names.
type File struct {
	Setting string // its path below <ossec_config>, such as "nats/token_file"
	Path    string
	Secret  bool
}

// SecurityFiles returns the files that the settings name which hold secrets, or decide who is
// trusted.
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

// isUsed reports whether the daemon reads the file of a setting, with the settings as
// they are.
func (l *Loaded) isUsed(path string) bool {
	switch {
	case path == pathSigningKey: // it is made where it is not there, and checked where it is read
		return false
	case path == pathRecipients:
		return l.NATS.Enabled && l.NATS.EncryptMessages
	case path == pathClientKeys: // whether a manager lives there comes first, and who attaches to one does not need it
		return l.Pulse.Link != "attach" && !l.homeClosed()
	case lookup(path).block() == "nats":
		return l.NATS.Enabled
	}
	return l.Pulse.HTTP != ""
}

// homeClosed reports whether it cannot be seen if a manager lives in <home>: the daemon says so, and the way out.
func (l *Loaded) homeClosed() bool {
	_, err := os.Stat(filepath.Join(l.Pulse.Home, "queue"))
	return l.Pulse.Link == "auto" && errors.Is(err, fs.ErrPermission)
}

// note says in an error what file and line do not.
func (o origin) note() string {
	if o.file != "" && o.from == "" {
		return ""
	}
	return " (" + o.String() + ")"
}

// checkFile returns the bare reason why a file cannot be read, or may not be used.
func checkFile(f File) error {
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

func fileHint(s *setting, file string, err error) string {
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
