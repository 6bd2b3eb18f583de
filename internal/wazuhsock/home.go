package wazuhsock

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Home is the manager's directory.
type Home string

// Path returns the path of a file in the directory.
func (h Home) Path(name string) string { return filepath.Join(string(h), name) }

// The manager's files and sockets, in its directory.
const (
	DatabaseSocket = "queue/db/wdb"
	DatabaseFile   = "queue/db/global.db"
	ARQueue        = "queue/alerts/ar"     // of wazuh-remoted
	AnalysisQueue  = "queue/sockets/queue" // of wazuh-analysisd
	Settings       = "etc/ossec.conf"
)

// The sockets on which wazuh-remoted takes requests to agents.
const (
	RequestSocket    = "queue/sockets/remote"
	oldRequestSocket = "queue/sockets/request" // before Wazuh 4.4
)

// RequestSocket returns the path of the one that exists.
func (h Home) RequestSocket() string {
	path, old := h.Path(RequestSocket), h.Path(oldRequestSocket)
	_, missing := os.Stat(path)
	if _, err := os.Stat(old); err == nil && errors.Is(missing, fs.ErrNotExist) {
		return old
	}
	return path
}
