package provision

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/wazuh-pulse/pulse/event"
)

// dir is where a user's files are, to be carried to whoever logs in with them.
func (u *user) dir() string {
	switch u.Kind {
	case node:
		return filepath.Join("nodes", u.Name)
	case reader:
		return filepath.Join("readers", u.Name)
	}
	return "admin"
}

// What the files of a node are called: the same on every node.
const (
	nodeCreds    = "pulse-nats.creds"
	nodeCA       = "pulse-nats-ca.crt"
	nodeCert     = "pulse-nats.crt"
	nodeKey      = "pulse-nats.key"
	nodeSettings = "pulse-nats.conf"
	nodeHome     = "/var/ossec/etc"
)

// creds, ca, cert and certKey are the user's files.
func (u *user) creds() string   { return u.path(nodeCreds, u.Name+".creds") }
func (u *user) ca() string      { return u.path(nodeCA, "ca.crt") }
func (u *user) cert() string    { return u.path(nodeCert, u.Name+".crt") }
func (u *user) certKey() string { return u.path(nodeKey, u.Name+".key") }

func (u *user) path(ofNode, ofOthers string) string {
	if u.Kind == node {
		return filepath.Join(u.dir(), ofNode)
	}
	return filepath.Join(u.dir(), ofOthers)
}

// enrol makes a user's credentials, with a key of their own.
func enrol(s *state, signing keys, k kind, name string) (*user, file, error) {
	u := &user{Kind: k, Name: name, Made: time.Now().UTC().Truncate(time.Second)}
	text, err := u.credentials(s, signing)
	if err != nil {
		return nil, file{}, fmt.Errorf("make the credentials of %s: %w", name, err)
	}
	return u, file{u.creds(), text, secret}, nil
}

func (u *user) credentials(s *state, signing keys) ([]byte, error) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		return nil, err
	}
	defer pair.Wipe()
	if u.Key, err = pair.PublicKey(); err != nil {
		return nil, err
	}
	claims := jwt.NewUserClaims(u.Key)
	claims.Name = u.Name
	claims.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket)
	switch prefix := event.Prefix(s.Prefix); u.Kind {
	case node:
		claims.Permissions = nodeRights(prefix, u.Name)
	case reader:
		claims.Permissions = readerRights(prefix, u.Name)
	case admin:
		claims.Permissions = adminRights(prefix)
	}
	token, err := encode(claims, signing[u.Kind.account()])
	if err != nil {
		return nil, err
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, err
	}
	return jwt.FormatUserConfig(token, seed)
}
