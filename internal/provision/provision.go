// Package provision writes the files with which a stock NATS server carries Pulse's
// messages, with least rights for every user: the keys and JWTs of an operator and its
// accounts, credentials for each node, for readers and for the administrator of the
// streams, certificates, the server's configuration, and the configurations of streams
// and buckets.
//
// Rights are separated by accounts, not only by users. Where a client shares an account
// with a stream, the server sends the answer to any request of the client to whatever
// subject the client names, with the server's rights: into another stream, or as a
// request to purge one. So the streams have an account of their own, and so have nodes
// and readers, which reach the streams through imports: an answer then always returns to
// the account of the request. For the same reason readers use consumers that are made
// for them: with the right to make one they could make one that delivers anywhere.
//
// [New] makes a setup, all of it or nothing. [Open] opens an existing one to change it:
// add, renew and revoke users, renew the server's certificate. [Setup.Apply] makes the
// streams and buckets on the running server. The state of a setup is in its file
// provision.json, which changes last, or first with a revocation; files that do not
// match it are refused. The package starts no goroutine. A lock prevents two changes of
// a setup at the same time.
package provision

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/wazuh-pulse/pulse/internal/hint"
)

// DefaultPort is the port of NATS.
const DefaultPort = 4222

// Config is the configuration of a new setup.
type Config struct {
	Dir       string   // made by New; may exist if it is empty
	Operator  string   // the name of whoever runs the NATS server, for people
	Prefix    string   // of Pulse's subjects
	Nodes     []string // one user each
	Readers   []string // one user each
	Leaves    []string // leaf nodes, each with a connection of its own
	Hosts     []string // the servers' names or addresses, the first for preference
	Port      int
	ServerDir string    // where the files of server/ will be on the server's host; "" for where they are written
	StoreDir  string    // where JetStream keeps its streams; in a directory jetstream; "" for beside them
	Replicas  int       // of each stream: 1, or 3 or 5 in a cluster
	MutualTLS bool      // clients have certificates, too
	TLS       *TLSFiles // nil for an authority and a certificate of its own
	Cluster   string    // the name of the cluster whose nodes share a view of where agents are; "" for none
	Hub       string    // the node whose Pulse runs the server; "" for a server of its own
	OCSF      string    // what the subjects of OCSF events start with; "" for no such events
	Force     bool      // an existing setup is moved aside
}

// Result is the result of making or changing a setup.
type Result struct {
	Setup   *Setup
	Written []string // files, below the setup's directory
	Aside   string   // where the old setup was moved to; "" if there was none
}

// New makes a setup in a temporary directory beside its own, and renames that when it is
// complete.
func New(cfg Config) (*Result, error) {
	if err := cfg.validateConfig(); err != nil {
		return nil, UsageError{err}
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if cfg.Hub != "" {
		cfg.ServerDir, cfg.StoreDir = cmp.Or(cfg.ServerDir, hubDir), cmp.Or(cfg.StoreDir, hubStoreDir)
	}
	cfg.ServerDir = cmp.Or(cfg.ServerDir, filepath.Join(dir, serverDir))
	cfg.StoreDir = cmp.Or(cfg.StoreDir, cfg.ServerDir) // the server adds jetstream to it
	if err := errors.Join(checkQuotedPath("the server's directory", cfg.ServerDir), checkQuotedPath("the store's directory", cfg.StoreDir)); err != nil {
		return nil, UsageError{err}
	}
	replaces, err := checkTargetDir(dir, cfg.Force)
	if err != nil {
		return nil, err
	}
	s, files, err := cfg.makeAllFiles()
	if err != nil {
		return nil, err
	}
	unfinished := dir + ".new"
	if err := os.Mkdir(unfinished, 0o700); errors.Is(err, fs.ErrExist) {
		return nil, hint.Add(fmt.Errorf("%s exists: another pulse provision is running, or was interrupted", unfinished), "remove it if none is running")
	} else if err != nil {
		return nil, fmt.Errorf("make the setup: %w", err)
	}
	done := &Result{}
	for _, f := range files {
		if err := f.writeBelow(unfinished); err != nil {
			return nil, errors.Join(fmt.Errorf("make the setup: %w", err), os.RemoveAll(unfinished))
		}
		done.Written = append(done.Written, f.path)
	}
	if replaces {
		done.Aside = dir + ".before-" + time.Now().UTC().Format("20060102T150405Z")
		if err := os.Rename(dir, done.Aside); err != nil {
			return nil, errors.Join(fmt.Errorf("move the old setup aside: %w", err), os.RemoveAll(unfinished))
		}
	} else if err := os.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(fmt.Errorf("make the setup: %w", err), os.RemoveAll(unfinished))
	}
	if err := os.Rename(unfinished, dir); err != nil {
		return nil, hint.Add(fmt.Errorf("move the setup into its place: %w", err), "it is in "+unfinished)
	}
	done.Setup = &Setup{dir: dir, state: s}
	return done, nil
}

func (cfg *Config) validateConfig() error {
	errs := []error{checkOperatorName(cfg.Operator), checkSubjectPrefix(cfg.Prefix)}
	if len(cfg.Hosts) == 0 {
		errs = append(errs, hint.Add(errors.New("no host"), "name the NATS server's"))
	}
	for _, host := range cfg.Hosts {
		errs = append(errs, checkServerHost(host))
	}
	seen := []string{string(admin), string(system)}
	for _, n := range slices.Concat(cfg.Nodes, cfg.Readers, cfg.Leaves) {
		errs = append(errs, checkName("name", n))
		if slices.Contains(seen, n) {
			errs = append(errs, fmt.Errorf("name %q is used twice, and each user needs its own (admin and system are in use)", n))
		}
		seen = append(seen, n)
	}
	if cfg.Cluster != "" {
		errs = append(errs, checkName("cluster", cfg.Cluster))
	}
	if cfg.Hub != "" && (cfg.Cluster == "" || !slices.Contains(cfg.Nodes, cfg.Hub) || cfg.Replicas != 1) {
		errs = append(errs, hint.Add(fmt.Errorf("hub %q: want one of the nodes of a cluster, and one replica", cfg.Hub), "name it with --node too, and the cluster with --cluster"))
	}
	if len(cfg.Leaves) > 0 && cfg.Hub != "" {
		errs = append(errs, errors.New("leaf nodes are of a NATS server of its own, and not of a node's"))
	}
	if cfg.OCSF != "" {
		errs = append(errs, checkOCSFSubject(cfg.OCSF, cfg.Prefix))
	}
	if cfg.Port < 1 || cfg.Port > 65535 {
		errs = append(errs, fmt.Errorf("port %d: want 1 to 65535", cfg.Port))
	}
	if cfg.Replicas != 1 && cfg.Replicas != 3 && cfg.Replicas != 5 {
		errs = append(errs, fmt.Errorf("replicas %d: want 1, or 3 or 5 in a cluster of as many servers or more", cfg.Replicas))
	}
	if cfg.TLS != nil && cfg.MutualTLS {
		errs = append(errs, errors.New("clients' certificates are made by an authority of the setup's own: leave out the server's certificate, or mutual TLS"))
	}
	return errors.Join(errs...)
}

// checkTargetDir reports whether dir has a setup that is to be moved aside. It returns an
// error if dir has any other files.
func checkTargetDir(dir string, force bool) (replaces bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case len(entries) == 0:
		return false, nil
	case !isSetupDir(dir):
		return false, hint.Add(fmt.Errorf("%s has files in it that are none of a setup", dir), "name a new directory")
	case !force:
		return false, hint.Add(fmt.Errorf("a setup is in %s already", dir), "change it without --operator (--node NAME adds a node), or begin anew with --force, "+
			"after which no credentials of the old one are valid any more")
	}
	return true, nil
}

// makeAllFiles makes the state and all files of a new setup.
func (cfg *Config) makeAllFiles() (*state, []file, error) {
	s := &state{Format: stateFormat, Operator: cfg.Operator, Prefix: cfg.Prefix, Hosts: cfg.Hosts, Port: cfg.Port,
		MutualTLS: cfg.MutualTLS, Cluster: cfg.Cluster, OCSF: cfg.OCSF, Hub: cfg.Hub, HubConfig: cfg.hubConfigPath(), Users: []user{}, Revoked: []revocation{}}
	if len(cfg.Leaves) > 0 {
		s.Domain = leafDomain
	}
	signing, files, err := newKeys(s)
	if err != nil {
		return nil, nil, err
	}
	operator := jwt.NewOperatorClaims(s.Key)
	operator.Name, operator.SystemAccount = s.Operator, s.Accounts[systemAccount]
	if s.JWT, err = encodeSignedClaims(operator, signing[operatorKey]); err != nil {
		return nil, nil, err
	}
	t := trust{}
	add := func(more ...file) { files = append(files, more...) }
	if cfg.TLS != nil {
		cert, key, ca, err := cfg.TLS.readForHost(cfg.Hosts[0])
		if err != nil {
			return nil, nil, err
		}
		s.OwnTLS, t.pem = true, ca
		add(file{serverCert, cert, public}, file{serverKey, key, secret})
	} else {
		a, more, err := newAuthority(cfg.Operator)
		if err != nil {
			return nil, nil, err
		}
		cert, key, err := a.issueCertificate(cfg.Hosts[0], s.certificateHosts())
		if err != nil {
			return nil, nil, err
		}
		t = trust{a, a.pem}
		add(append(more, file{serverCert, cert, public}, file{serverKey, key, secret})...)
	}
	if t.pem != nil {
		add(file{serverCA, t.pem, public})
	}
	users := []user{{Kind: admin, Name: string(admin)}, {Kind: system, Name: string(system)}}
	for _, n := range cfg.Nodes {
		users = append(users, user{Kind: node, Name: n})
	}
	for _, n := range cfg.Readers {
		users = append(users, user{Kind: reader, Name: n})
	}
	for _, n := range cfg.Leaves {
		users = append(users, user{Kind: leaf, Name: n})
	}
	for _, u := range users {
		more, err := s.addUserWithFiles(signing, t, u.Kind, u.Name)
		if err != nil {
			return nil, nil, err
		}
		add(more...)
	}
	more, err := streamFiles(s, cfg.Replicas)
	if err != nil {
		return nil, nil, err
	}
	add(more...)
	who, err := accountsFile(s, signing)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.encodeStateFile()
	add(serverConfigFile(s, cfg.ServerDir, cfg.StoreDir), who, f)
	return s, files, err
}

// trust is the authority by which clients verify the server.
type trust struct {
	authority *authority // nil where the certificates are the user's
	pem       []byte     // nil for the systems' own authorities
}

func (s *state) addUserWithFiles(signing keys, t trust, k kind, name string) ([]file, error) {
	u, creds, err := newUserWithCredentials(s, signing, k, name)
	if err != nil {
		return nil, err
	}
	files := []file{creds}
	if t.pem != nil && k != system { // it shares the admin's directory
		files = append(files, file{u.caPath(), t.pem, public})
	}
	if s.MutualTLS && k != leaf {
		cert, key, err := t.authority.issueCertificate(name, nil)
		if err != nil {
			return nil, err
		}
		files = append(files, file{u.certPath(), cert, public}, file{u.certKeyPath(), key, secret})
	}
	switch k {
	case node:
		files = append(files, nodeSettingsFile(s, u, t.pem != nil))
	case leaf:
		more, err := s.leafFiles(signing, t, u)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	case reader:
		more, err := consumerFiles(s, name)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	s.Users = append(s.Users, *u)
	return files, nil
}
