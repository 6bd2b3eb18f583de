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

	"github.com/wazuh-pulse/pulse/internal/hint"
)

const (
	stateFile   = "provision.json"
	stateFormat = 1
)

// kind is what a user is there for.
type kind string

const (
	node   kind = "node"
	reader kind = "reader"
	admin  kind = "admin"  // keeps the streams
	system kind = "system" // sees how the servers are
)

func (k kind) account() string {
	return map[kind]string{node: nodesAccount, reader: readersAccount, admin: streamsAccount, system: systemAccount}[k]
}

// user is one who may log in.
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

// state is what a setup consists of. It holds no secret.
type state struct {
	Format    int               `json:"format"`
	Operator  string            `json:"operator"`
	Prefix    string            `json:"subject_prefix"`
	Hosts     []string          `json:"hosts"`
	Port      int               `json:"port"`
	MutualTLS bool              `json:"mutual_tls"`
	OwnTLS    bool              `json:"own_tls"` // the certificate is the user's, and there is no authority of ours
	Key       string            `json:"operator_key"`
	JWT       string            `json:"operator_jwt"` // made once: a running server takes no other
	Accounts  map[string]string `json:"account_keys"`
	Users     []user            `json:"users"`
	Revoked   []revocation      `json:"revoked"`
}

func (s *state) index(name string) int {
	return slices.IndexFunc(s.Users, func(u user) bool { return u.Name == name })
}

// ours says whether dir holds a setup, or the beginnings of one.
func ours(dir string) bool {
	for _, name := range []string{stateFile, privateDir} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

func loadState(dir string) (*state, error) {
	path := filepath.Join(dir, stateFile)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && ours(dir):
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

func (s *state) file() (file, error) {
	text, err := json.MarshalIndent(s, "", "  ")
	return file{stateFile, append(text, '\n'), public}, err
}
