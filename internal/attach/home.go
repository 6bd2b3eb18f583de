package attach

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
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

// Find says what is wrong with a directory in which a Wazuh manager should be, or
// with our rights to it. That the manager runs is not asked for.
func Find(dir string) error {
	h := home(dir)
	if info, err := os.Stat(dir); err != nil && errors.Is(err, fs.ErrPermission) {
		return explain(err, "the manager", dir)
	} else if err != nil || !info.IsDir() {
		return fmt.Errorf("no Wazuh manager in %s (<pulse><home>): there is no such directory", dir)
	}
	if lives, err := Lives(dir); err != nil {
		return err
	} else if !lives {
		return fmt.Errorf("no Wazuh manager in %s (<pulse><home>): it has no %s", dir, databaseFile)
	}
	for _, need := range []struct {
		what, path string
		right      uint32
	}{
		{"the manager's settings", h.path("etc/ossec.conf"), unix.R_OK},
		{"wazuh-db", h.path(databaseSocket), unix.W_OK}, // it takes that to connect
		{"wazuh-remoted", h.requestSocket(), unix.W_OK},
	} {
		if err := unix.Access(need.path, need.right); errors.Is(err, fs.ErrPermission) {
			return explain(err, need.what, need.path)
		}
	}
	return nil
}

// wayIn is the command that gives this process's user the right to a path.
func wayIn(path string) string {
	name := "USER"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return "usermod -aG " + groupOf(path) + " " + name
}

// groupOf is the manager's group, which a path that cannot be reached, or the
// nearest directory above that can, belongs to: wazuh, and before 4.3 ossec.
func groupOf(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		if up := filepath.Dir(path); up != path {
			return groupOf(up)
		}
	} else if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Gid != 0 {
		if g, err := user.LookupGroupId(strconv.FormatUint(uint64(s.Gid), 10)); err == nil {
			return g.Name
		}
	}
	return "wazuh"
}

// explain says what an error of a socket means, and the way out.
func explain(err error, daemon, path string) error {
	what := "%s cannot be used at %s: %w"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no right to reach %s at %s: run Pulse as a user of the manager's group (%s), and start it anew: %w", daemon, path, wayIn(path), bare(err))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK):
		what = "%s is not running, nothing listens at %s: start the manager (systemctl start wazuh-manager), or set <pulse><home> to where it lives: %w"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		what = "%s has hung up at %s, as it does when it ends or is started anew: %w"
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
