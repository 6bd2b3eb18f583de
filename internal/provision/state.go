package provision

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/filelock"
	"github.com/wazuh-pulse/pulse/internal/hint"
)

const (
	stateFile   = "provision.json"
	stateFormat = 1
)

// kind is the role of a user.
type kind string

const (
	node   kind = "node"
	reader kind = "reader"
	leaf   kind = "leaf"   // a leaf node's connection
	admin  kind = "admin"  // administers the streams
	system kind = "system" // monitors the servers
)

func (k kind) accountName() string {
	return map[kind]string{node: nodesAccount, leaf: nodesAccount, reader: readersAccount, admin: streamsAccount, system: systemAccount}[k]
}

// user is a user who may log in.
type user struct {
	Kind kind      `json:"kind"`
	Name string    `json:"name"`
	Key  string    `json:"key"` // public
	Made time.Time `json:"made"`
}

// revocation is the end of a user's credentials.
type revocation struct {
	Account string    `json:"account"`
	Name    string    `json:"name"`
	Key     string    `json:"key"` // public
	At      time.Time `json:"at"`
}

// state is the content of a setup, without secrets.
type state struct {
	Format    int               `json:"format"`
	Operator  string            `json:"operator"`
	Prefix    string            `json:"subject_prefix"`
	Hosts     []string          `json:"hosts"`
	Port      int               `json:"port"`
	MutualTLS bool              `json:"mutual_tls"`
	OwnTLS    bool              `json:"own_tls"` // the certificate is the user's own, and the setup has no authority
	Key       string            `json:"operator_key"`
	JWT       string            `json:"operator_jwt"` // made once: a running server accepts no other
	Accounts  map[string]string `json:"account_keys"`
	Cluster   string            `json:"cluster,omitempty"`      // whose nodes share a view of where agents are; "" for none
	Hub       string            `json:"hub,omitempty"`          // the node whose Pulse runs the server; "" for none
	HubConfig string            `json:"hub_config,omitempty"`   // the server's configuration on that node's host
	Domain    string            `json:"domain,omitempty"`       // JetStream's, which nodes at leaf nodes name; "" without these
	OCSF      string            `json:"ocsf_subject,omitempty"` // what the subjects of OCSF events start with; "" for none
	Users     []user            `json:"users"`
	Revoked   []revocation      `json:"revoked"`
}

func (s *state) indexOfUser(name string) int {
	return slices.IndexFunc(s.Users, func(u user) bool { return u.Name == name })
}

// isSetupDir reports whether dir has a setup, complete or not.
func isSetupDir(dir string) bool {
	return slices.ContainsFunc([]string{stateFile, privateDir}, func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	})
}

func loadState(dir string) (*state, error) {
	path := filepath.Join(dir, stateFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && isSetupDir(dir):
		return nil, hint.Add(fmt.Errorf("%s does not exist, but %s does: the setup is incomplete", path, filepath.Join(dir, privateDir)),
			"restore it from a backup, or begin anew with --operator and --force")
	case errors.Is(err, fs.ErrNotExist):
		return nil, hint.Add(fmt.Errorf("no setup is in %s", dir), "make one with --operator NAME")
	case err != nil:
		return nil, err
	}
	s := new(state)
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(s); err != nil {
		return nil, hint.Add(fmt.Errorf("%s is damaged: %w", path, err), "restore it from a backup")
	}
	if s.Format != stateFormat {
		return nil, hint.Add(fmt.Errorf("%s: format %d, and this version of Pulse reads %d only", path, s.Format, stateFormat), "use the version that wrote it, or a newer one")
	}
	return s, nil
}

func (s *state) encodeStateFile() (file, error) {
	text, err := json.MarshalIndent(s, "", "  ")
	return file{stateFile, append(text, '\n'), public}, err
}

const (
	public os.FileMode = 0o644
	secret os.FileMode = 0o600
)

// file is a file to be written below the setup's directory.
type file struct {
	path string
	text []byte
	mode os.FileMode
}

// writeBelow replaces the file atomically and durably. Directories that it makes are
// private.
func (f file) writeBelow(dir string) error {
	path := filepath.Join(dir, f.path)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	return atomicfile.Write(path, f.text, f.mode)
}

// lockSetupDir prevents a second change of the same setup, until the process ends or the
// lock is released.
func lockSetupDir(dir string) (*filelock.Lock, error) {
	l, err := filelock.AcquireDir(dir)
	switch {
	case errors.Is(err, filelock.ErrLocked):
		return nil, fmt.Errorf("lock %s: another pulse provision is at work there; wait until it is done", dir)
	case err != nil:
		return nil, fmt.Errorf("lock %s: %w", dir, err)
	}
	return l, nil
}
