package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// CheckFiles opens every file that settings name and the daemon reads: the agents' keys (but for link attach), those of
// the console and, with NATS enabled, those of its login and of TLS. Those with secrets must be private, too. It returns
// all problems as an [*Errors]. State directories are not looked at.
func (l *Loaded) CheckFiles() error {
	var paths []string
	if l.Pulse.Link != "attach" {
		paths = append(paths, pathClientKeys)
	}
	if l.NATS.Enabled {
		paths = append(paths, pathCreds, pathNKey, pathPassword, pathToken, pathTLSCA, pathTLSCert, pathTLSKey)
	}
	if l.NATS.Enabled && l.NATS.EncryptMessages {
		paths = append(paths, pathRecipients)
	}
	if l.Pulse.HTTP != "" {
		paths = append(paths, pathHTTPToken, pathHTTPCert, pathHTTPKey)
	}
	var errs Errors
	for _, p := range paths {
		s := lookup(p)
		file := s.field(&l.Config).String()
		if file == "" {
			continue
		}
		err := readable(file)
		if p == pathClientKeys && l.homeClosed() {
			continue // whether a manager lives there comes first, and who attaches to one does not need it
		}
		if err == nil && slices.Contains(secretFiles, p) {
			err = private(file)
		}
		if err != nil {
			o := l.origins[p]
			errs.add(&Error{o.file, o.line, fmt.Sprintf("<%s>%s</%s>%s: %v", s.name(), file, s.name(), o.note(), err), fileHint(s, file, err)})
		}
	}
	return errs.err()
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

var errNotFile = errors.New("not a regular file")

// readable returns the bare reason why a file cannot be read. It looks before it opens: opening a pipe would wait.
func readable(path string) error {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		return errNotFile
	}
	if err == nil {
		var f *os.File
		if f, err = os.Open(path); err == nil {
			return f.Close()
		}
	}
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number
	}
	return err
}

var errPublic = errors.New("every user of this host may read or change it, and it holds a secret")

// private refuses a file that is open to more than its user and group.
func private(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o006 != 0 {
		err = errPublic
	}
	return err
}

func fileHint(s *setting, file string, err error) string {
	switch {
	case errors.Is(err, errPublic):
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
