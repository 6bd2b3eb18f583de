package provision

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
)

// The accounts, by their names.
const (
	systemAccount  = "SYS"
	streamsAccount = "PULSE" // has the streams and buckets
	nodesAccount   = "NODES"
	readersAccount = "XDR"
)

var accountNames = []string{systemAccount, streamsAccount, nodesAccount, readersAccount}

func allAccountClaims(s *state) map[string]*jwt.AccountClaims {
	all := make(map[string]*jwt.AccountClaims)
	for _, name := range accountNames {
		c := jwt.NewAccountClaims(s.Accounts[name])
		c.Name = name
		for _, r := range s.Revoked {
			if r.Account == name {
				c.RevokeAt(r.Key, r.At)
			}
		}
		all[name] = c
	}
	prefix := event.Prefix(s.Prefix)
	streams, nodes, readers := all[streamsAccount], all[nodesAccount], all[readersAccount]
	streams.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: jwt.NoLimit, DiskStorage: jwt.NoLimit, Streams: jwt.NoLimit,
		Consumer: jwt.NoLimit}
	// Readers subscribe to nodes directly: the server does not forward a message that was a request to a third account.
	nodes.Exports.Add(&jwt.Export{Name: "live messages", Subject: jwt.Subject(prefix.All()), Type: jwt.Stream})
	readers.Imports.Add(&jwt.Import{Name: "live messages", Subject: jwt.Subject(prefix.All()), Account: nodes.Subject, Type: jwt.Stream})

	if s.OCSF != "" {
		subject := jwt.Subject(s.OCSF + ".>")
		nodes.Exports.Add(&jwt.Export{Name: "live OCSF events", Subject: subject, Type: jwt.Stream})
		readers.Imports.Add(&jwt.Import{Name: "live OCSF events", Subject: subject, Account: nodes.Subject, Type: jwt.Stream})
	}

	// What the server announces itself comes from the account of the streams.
	streams.Exports.Add(&jwt.Export{Name: "announced losses", Subject: lastwill.LiveSubject, Type: jwt.Stream})
	readers.Imports.Add(&jwt.Import{Name: "announced losses", Subject: lastwill.LiveSubject, LocalSubject: jwt.RenamingSubject(nodeLostSubject(prefix)),
		Account: streams.Subject, Type: jwt.Stream})

	forNodes := slices.Concat(s.publishedServices(), bucketServices(), willServices(), streamQueries)
	if s.Cluster != "" {
		forNodes = append(forNodes, clusterServices()...)
	}
	addServiceExports(streams, forNodes)
	addServiceImports(nodes, streams, forNodes)
	s.addDomainImports(nodes, streams, forNodes)
	addServiceExports(streams, s.streamReaderServices())
	addServiceImports(readers, streams, s.streamReaderServices())
	addServiceExports(nodes, agentQuestionServices())
	addServiceImports(readers, nodes, agentQuestionServices())
	return all
}

// addServiceExports exports services that are not exported yet.
func addServiceExports(from *jwt.AccountClaims, services []service) {
	for _, s := range services {
		if slices.ContainsFunc(from.Exports, func(e *jwt.Export) bool { return e.Type == jwt.Service && string(e.Subject) == s.subject }) {
			continue
		}
		e := &jwt.Export{Name: s.subject, Subject: jwt.Subject(s.subject), Type: jwt.Service, ResponseType: jwt.ResponseTypeSingleton, ResponseThreshold: s.within}
		if s.streamed {
			e.ResponseType = jwt.ResponseTypeStream
		}
		from.Exports.Add(e)
	}
}

func addServiceImports(by, from *jwt.AccountClaims, services []service) {
	for _, s := range services {
		by.Imports.Add(&jwt.Import{Name: s.subject, Subject: jwt.Subject(s.subject), Account: from.Subject, Type: jwt.Service})
	}
}

// tokenMax is how long a user's JWT may be: a NATS server takes lines of 4096 bytes before a
// client is logged in, and that of a login has more than the JWT.
const tokenMax = 3650

func encodeSignedClaims(claims jwt.Claims, by nkeys.KeyPair) (string, error) {
	var results jwt.ValidationResults
	claims.Validate(&results)
	if err := errors.Join(results.Errors()...); err != nil {
		return "", fmt.Errorf("make the JWT of %s: %w", claims.Claims().Name, err)
	}
	token, err := claims.Encode(by)
	if err != nil {
		return "", fmt.Errorf("make the JWT of %s: %w", claims.Claims().Name, err)
	}
	return token, nil
}

// dirPath returns the directory of a user's files, to be copied to where they are used.
func (u *user) dirPath() string {
	switch u.Kind {
	case node:
		return filepath.Join("nodes", u.Name)
	case reader:
		return filepath.Join("readers", u.Name)
	case leaf:
		return filepath.Join("leaves", u.Name)
	}
	return "admin"
}

// The names of a node's files, which are the same on every node.
const (
	nodeCreds    = "pulse-nats.creds"
	nodeCA       = "pulse-nats-ca.crt"
	nodeCert     = "pulse-nats.crt"
	nodeKey      = "pulse-nats.key"
	nodeSettings = "pulse.d/nats.conf" // is read with pulse.conf
	nodeHome     = "/var/ossec/etc"

	// formerNodeSettings was the name of the settings in setups of earlier versions.
	formerNodeSettings = "pulse-nats.conf"
)

// credsPath, caPath, certPath and certKeyPath return the paths of the user's files.
func (u *user) credsPath() string   { return u.filePath(nodeCreds, u.Name+".creds") }
func (u *user) caPath() string      { return u.filePath(nodeCA, "ca.crt") }
func (u *user) certPath() string    { return u.filePath(nodeCert, u.Name+".crt") }
func (u *user) certKeyPath() string { return u.filePath(nodeKey, u.Name+".key") }

func (u *user) filePath(ofNode, ofOthers string) string {
	if u.Kind == node {
		return filepath.Join(u.dirPath(), ofNode)
	}
	if u.Kind == leaf && ofNode == nodeCreds {
		return u.leafPath(leafCreds)
	}
	return filepath.Join(u.dirPath(), ofOthers)
}

func newUserWithCredentials(s *state, signing keys, k kind, name string) (*user, file, error) {
	u := &user{Kind: k, Name: name, Made: time.Now().UTC().Truncate(time.Second)}
	text, err := u.makeUserCredentials(s, signing)
	if err != nil {
		return nil, file{}, fmt.Errorf("make the credentials of %s: %w", name, err)
	}
	return u, file{u.credsPath(), text, secret}, nil
}

func (u *user) makeUserCredentials(s *state, signing keys) ([]byte, error) {
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
	if u.Kind == leaf {
		claims.AllowedConnectionTypes.Add(jwt.ConnectionTypeLeafnode)
	} else {
		claims.AllowedConnectionTypes.Add(jwt.ConnectionTypeStandard, jwt.ConnectionTypeWebsocket)
	}
	switch prefix := event.Prefix(s.Prefix); u.Kind {
	case node:
		claims.Permissions = s.nodeRights(u.Name)
	case reader:
		claims.Permissions = s.readerRights(u.Name)
	case leaf:
		claims.Permissions = s.leafRights()
	case admin:
		claims.Permissions = streamAdminRights(prefix)
	}
	token, err := encodeSignedClaims(claims, signing[u.Kind.accountName()])
	if err != nil {
		return nil, err
	}
	if len(token) > tokenMax {
		return nil, hint.Add(fmt.Errorf("with its rights it has %d bytes, and a NATS server takes no login of more than %d", len(token), tokenMax),
			"choose a shorter name, or shorter subjects")
	}
	seed, err := pair.Seed()
	if err != nil {
		return nil, err
	}
	return jwt.FormatUserConfig(token, seed)
}
