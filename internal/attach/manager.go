package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
	"golang.org/x/sys/unix"
)

// IsInstalled reports whether a Wazuh manager is installed in a directory, whether it
// runs or not. An agent's directory looks alike, but has no database of agents.
func IsInstalled(dir string) (bool, error) {
	for _, name := range []string{wazuhsock.DatabaseFile, wazuhsock.DatabaseSocket} {
		switch _, err := os.Stat(wazuhsock.Home(dir).Path(name)); {
		case err == nil:
			return true, nil
		case errors.Is(err, fs.ErrPermission):
			return false, wazuhsock.Explain(err, "the manager", dir)
		}
	}
	return false, nil
}

// CheckHome says what is wrong with a directory in which a Wazuh manager should be, or
// with our rights to it. That the manager runs is not asked for.
func CheckHome(dir string) error {
	h := wazuhsock.Home(dir)
	if info, err := os.Stat(dir); err != nil && errors.Is(err, fs.ErrPermission) {
		return wazuhsock.Explain(err, "the manager", dir)
	} else if err != nil || !info.IsDir() {
		return fmt.Errorf("no Wazuh manager in %s (<pulse><home>): there is no such directory", dir)
	}
	if lives, err := IsInstalled(dir); err != nil {
		return err
	} else if !lives {
		return fmt.Errorf("no Wazuh manager in %s (<pulse><home>): it has no %s", dir, wazuhsock.DatabaseFile)
	}
	for _, need := range []struct {
		what, path string
		right      uint32
	}{
		{"the manager's settings", h.Path(wazuhsock.Settings), unix.R_OK},
		{"wazuh-db", h.Path(wazuhsock.DatabaseSocket), unix.W_OK}, // it takes that to connect
		{"wazuh-remoted", h.RequestSocket(), unix.W_OK},
	} {
		if err := unix.Access(need.path, need.right); errors.Is(err, fs.ErrPermission) {
			return wazuhsock.Explain(err, need.what, need.path)
		}
	}
	return nil
}
