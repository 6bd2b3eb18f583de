package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A manager of Wazuh 5 has its own directory, beside which an agent may have /var/ossec,
// and its settings have another name and root element. Its <remote> is about ports on
// which Pulse does not listen.
const (
	defaultHome      = "/var/ossec"
	defaultHome5     = "/var/wazuh-manager"
	managerFile      = "etc/ossec.conf"
	managerFile5     = "etc/wazuh-manager.conf"
	managerRoot      = "ossec_config"
	managerRoot5     = "wazuh_config"
	managersDatabase = "queue/db/global.db" // which an agent's directory does not have
	managersSocket   = "queue/db/wdb"       // of the database's daemon
)

// isManagerRoot reports whether a manager's own file has such a root element.
func isManagerRoot(name string) bool { return name == managerRoot || name == managerRoot5 }

// managerFilePath returns the path of the manager's settings in its directory.
func managerFilePath(home string) string {
	if path := filepath.Join(home, managerFile5); exists(path) {
		return path
	}
	return filepath.Join(home, managerFile)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// findHome returns the directory of the manager of this host where no <home> is set: that of
// Wazuh 5 if a manager is, or may be, there and none is known to be in that of Wazuh 4. It
// reports whether there is one in both.
func findHome(home4, home5 string) (home string, both bool) {
	is4, hidden4 := hasManager(home4)
	is5, hidden5 := hasManager(home5)
	if !is4 && (is5 || hidden5 && !hidden4) {
		return home5, false
	}
	return home4, is4 && is5
}

// hasManager reports whether a manager is in a directory, and whether this process has no
// right to know.
func hasManager(home string) (is, hidden bool) {
	for _, name := range []string{managersDatabase, managerFile5} {
		_, err := os.Stat(filepath.Join(home, name))
		if err == nil {
			return true, false
		}
		hidden = hidden || errors.Is(err, fs.ErrPermission)
	}
	return false, hidden
}

// adoptHome uses the directory of the manager of this host, if no file sets another.
func (ld *loader) adoptHome() {
	l := ld.loaded
	if l.origins[pathHome].file != "" || ld.failed[pathHome] || l.Pulse.Home != defaultHome {
		return
	}
	var both bool
	if l.Pulse.Home, both = findHome(defaultHome, defaultHome5); both && l.Pulse.Link != "listen" {
		l.Warnings = append(l.Warnings, &Error{Problem: fmt.Sprintf("two managers are on this host, in %s and %s: the agents of the latter are not watched", defaultHome, defaultHome5),
			Hint: "set <pulse><home> to the one that Pulse is for; a second Pulse for the other one needs settings, a <state_dir> and ports of its own"})
	}
	if l.Pulse.Home != defaultHome && l.origins[pathClientKeys].file == "" && !ld.failed[pathClientKeys] {
		l.Pulse.ClientKeys = filepath.Join(l.Pulse.Home, "etc/client.keys")
	}
}
