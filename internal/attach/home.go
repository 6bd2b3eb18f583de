package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// home is the manager's directory.
type home string

func (h home) path(name string) string { return filepath.Join(string(h), name) }

// The manager's sockets, and who serves them.
const (
	databaseSocket = "queue/db/wdb"
	databaseFile   = "queue/db/global.db"
	arQueue        = "queue/alerts/ar"
	analysisQueue  = "queue/sockets/queue"
)

// requestSockets are where remoted takes requests to agents: from 4.4 on, and before.
var requestSockets = []string{"queue/sockets/remote", "queue/sockets/request"}

// requestSocket is the one that is there.
func (h home) requestSocket() string {
	for _, name := range requestSockets[1:] {
		_, missing := os.Stat(h.path(requestSockets[0]))
		if _, err := os.Stat(h.path(name)); err == nil && errors.Is(missing, fs.ErrNotExist) {
			return h.path(name)
		}
	}
	return h.path(requestSockets[0])
}

// Lives reports whether a Wazuh manager is installed in a directory, whether it
// runs or not. An agent's directory looks alike, but has no database of agents.
func Lives(dir string) (bool, error) {
	for _, name := range []string{databaseFile, databaseSocket} {
		switch _, err := os.Stat(home(dir).path(name)); {
		case err == nil:
			return true, nil
		case errors.Is(err, fs.ErrPermission):
			return false, explain(err, "the manager", dir)
		}
	}
	return false, nil
}

// explain says what an error of a socket means, and the way out.
func explain(err error, daemon, path string) error {
	what := "%s cannot be used at %s: %w"
	switch {
	case errors.Is(err, fs.ErrPermission):
		what = "no right to reach %s at %s: run as a user of the manager's group (usermod -aG wazuh USER): %w"
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK):
		what = "%s is not running, nothing listens at %s: start the manager (systemctl start wazuh-manager), or set <pulse><home> to where it lives: %w"
	case errors.Is(err, os.ErrDeadlineExceeded):
		what = "%s does not answer at %s: %w"
	case errors.Is(err, syscall.EAGAIN):
		what = "%s has no room for another client at %s: %w"
	}
	return fmt.Errorf(what, daemon, path, bare(err))
}

// bare strips what an error of package net repeats about the address.
func bare(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}
