package wazuhsock

import (
	"errors"
	"io"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestAnErrorOfASocketIsExplained(t *testing.T) {
	for _, c := range []struct {
		err  error
		want string
	}{
		{os.ErrPermission, "usermod -aG wazuh"},
		{os.ErrNotExist, "systemctl start wazuh-manager"},
		{os.ErrDeadlineExceeded, "does not answer"},
		{io.EOF, "has hung up"},
		{syscall.ECONNRESET, "has hung up"},
		{syscall.EPIPE, "has hung up"},
		{errors.New("odd"), "cannot be used"},
	} {
		if err := ExplainError(c.err, "wazuh-db", "/s"); !strings.Contains(err.Error(), c.want) || !errors.Is(err, c.err) || !strings.Contains(err.Error(), "/s") {
			t.Errorf("%v: %v", c.err, err)
		}
	}
}

// The hint names the group that the manager's directories have: not all call it wazuh.
func TestTheManagersGroupIsCalledByItsName(t *testing.T) {
	home := t.TempDir()
	if got := findGroup(filepath.Join(home, "queue/db/wdb")); os.Getgid() == 0 && got != "wazuh" {
		t.Errorf("of a directory of root's group: %s", got)
	}
	first, err := user.LookupGroupId("1")
	if os.Getuid() != 0 || err != nil {
		t.Skip("it takes root, and a group 1, to give a directory to another group")
	}
	if err := os.Chown(home, 0, 1); err != nil {
		t.Fatal(err)
	}
	if got := findGroup(filepath.Join(home, "queue/db/wdb")); got != first.Name {
		t.Errorf("%s, want %s", got, first.Name)
	}
}
