package wazuhsock

import (
	"os"
	"path/filepath"
)

// A manager of Wazuh 5 has another directory, and other names in it, than one of Wazuh 4.
// Its queue of wazuh-remoted for active responses and that of wazuh-analysisd are gone.
const (
	Settings5    = "etc/wazuh-manager.conf"
	Options5     = "etc/wazuh-manager-internal-options.conf"
	DefaultHome5 = "/var/wazuh-manager"
	group5       = "wazuh-manager"
)

// IsWazuh5 reports whether the files in the directory are those of Wazuh 5. Both have the
// same sockets of wazuh-db and wazuh-remoted.
func (h Home) IsWazuh5() bool {
	_, err := os.Stat(h.Path(Settings5))
	return err == nil
}

// SettingsPath returns the path of the manager's settings.
func (h Home) SettingsPath() string {
	if h.IsWazuh5() {
		return h.Path(Settings5)
	}
	return h.Path(Settings)
}

// managerGroup returns the name of the group of the manager to which a path belongs, where
// the path itself does not show it.
func managerGroup(path string) string {
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if dir == DefaultHome5 || Home(dir).IsWazuh5() {
			return group5
		}
	}
	return "wazuh"
}
