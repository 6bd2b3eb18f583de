package wazuhsock

import (
	"os"
	"path/filepath"
	"testing"
)

func TestTheFilesOfWazuh5AreKnown(t *testing.T) {
	dir := t.TempDir()
	h := Home(dir)
	if h.IsWazuh5() || h.SettingsPath() != filepath.Join(dir, "etc/ossec.conf") || managerGroup(h.Path(DatabaseSocket)) != "wazuh" {
		t.Errorf("of Wazuh 4: %v, %s", h.IsWazuh5(), h.SettingsPath())
	}
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(h.Path(Settings5), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if !h.IsWazuh5() || h.SettingsPath() != filepath.Join(dir, "etc/wazuh-manager.conf") || managerGroup(h.Path(DatabaseSocket)) != "wazuh-manager" {
		t.Errorf("of Wazuh 5: %v, %s", h.IsWazuh5(), h.SettingsPath())
	}
	if got := managerGroup("/var/wazuh-manager/queue/db/wdb"); got != "wazuh-manager" { // also where nothing can be seen
		t.Errorf("in its own directory: %s", got)
	}
}
