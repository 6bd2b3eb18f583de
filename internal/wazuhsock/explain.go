package wazuhsock

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

	"github.com/wazuh-pulse/pulse/internal/hint"
)

// ExplainError returns what an error of a socket means, with a hint what to do about it.
func ExplainError(err error, daemon, path string) error {
	what := "%s cannot be used at %s: %w"
	switch {
	case errors.Is(err, fs.ErrPermission):
		return hint.Add(fmt.Errorf("no right to reach %s at %s: %w", daemon, path, stripAddress(err)),
			fmt.Sprintf("run Pulse as a user of the manager's group (%s), and start it anew", joinCommand(path)))
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOTSOCK):
		return hint.Add(fmt.Errorf("%s is not running, nothing listens at %s: %w", daemon, path, stripAddress(err)),
			"start the manager (systemctl start wazuh-manager), or set <pulse><home> to its directory")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		what = "%s has hung up at %s, as it does when it ends or is started anew: %w"
	case errors.Is(err, os.ErrDeadlineExceeded):
		what = "%s does not answer at %s: %w"
	case errors.Is(err, syscall.EAGAIN):
		what = "%s has no room for another client at %s: %w"
	}
	return fmt.Errorf(what, daemon, path, stripAddress(err))
}

// joinCommand returns the command that adds this process's user to the group that may
// use a path.
func joinCommand(path string) string {
	name := "USER"
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	return "usermod -aG " + findGroup(path) + " " + name
}

// findGroup returns the group of a path or, if that cannot be reached, of the nearest
// directory above that can: wazuh, and before Wazuh 4.3 ossec.
func findGroup(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		if up := filepath.Dir(path); up != path {
			return findGroup(up)
		}
	} else if s, ok := info.Sys().(*syscall.Stat_t); ok && s.Gid != 0 {
		if g, err := user.LookupGroupId(strconv.FormatUint(uint64(s.Gid), 10)); err == nil {
			return g.Name
		}
	}
	return "wazuh"
}

// stripAddress removes from an error of package net what repeats the address.
func stripAddress(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return os.ErrDeadlineExceeded
	}
	return err
}
