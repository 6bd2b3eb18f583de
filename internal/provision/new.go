package provision

import (
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

// DefaultPort is that of NATS.
const DefaultPort = 4222

// Config says what to set up.
type Config struct {
	Dir       string   // which is made; may be there if it is empty
	Operator  string   // who runs the NATS server, for people
	Prefix    string   // of Pulse's subjects
	Nodes     []string // one user each
	Readers   []string // one user each
	Hosts     []string // the servers' names or addresses, the first for preference
	Port      int
	ServerDir string    // where the files of server/ will be on the server's host; "" for where they are written
	StoreDir  string    // where JetStream keeps its streams; in a directory jetstream; "" for beside them
	Replicas  int       // of each stream: 1, or 3 or 5 in a cluster
	MutualTLS bool      // clients have certificates, too
	TLS       *TLSFiles // nil for an authority and a certificate of its own
	Force     bool      // a setup that is there gives way: it is moved aside
}

// Done says what was done.
type Done struct {
	Setup   *Setup
	Written []string // files, below the setup's directory
	Aside   string   // where the setup went that was there before; "" for nowhere
}

// New makes a setup in a directory beside the one that is to be, and puts it in its
// place when it is whole.
func New(cfg Config) (*Done, error) {
	if err := cfg.check(); err != nil {
		return nil, Mistake{err}
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, err
	}
	if cfg.ServerDir == "" {
		cfg.ServerDir = filepath.Join(dir, serverDir)
	}
	if cfg.StoreDir == "" {
		cfg.StoreDir = cfg.ServerDir // the server adds jetstream to it
	}
	if err := errors.Join(checkPath("the server's directory", cfg.ServerDir), checkPath("the store's directory", cfg.StoreDir)); err != nil {
		return nil, Mistake{err}
	}
	replaces, err := place(dir, cfg.Force)
	if err != nil {
		return nil, err
	}
	s, files, err := cfg.files()
	if err != nil {
		return nil, err
	}
	unfinished := dir + ".new"
	if err := os.Mkdir(unfinished, 0o700); errors.Is(err, fs.ErrExist) {
		return nil, hint.Add(fmt.Errorf("%s exists: another pulse provision is running, or was interrupted", unfinished), "remove it if none is running")
	} else if err != nil {
		return nil, fmt.Errorf("make the setup: %w", err)
	}
	done := &Done{}
	for _, f := range files {
		if err := f.write(unfinished); err != nil {
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

func (cfg *Config) check() error {
	errs := []error{checkOperator(cfg.Operator), checkPrefix(cfg.Prefix)}
	if len(cfg.Hosts) == 0 {
		errs = append(errs, hint.Add(errors.New("no host"), "name the NATS server's"))
	}
	for _, host := range cfg.Hosts {
		errs = append(errs, checkHost(host))
	}
	seen := []string{string(admin), string(system)}
	for _, n := range slices.Concat(cfg.Nodes, cfg.Readers) {
		errs = append(errs, checkName("name", n))
		if slices.Contains(seen, n) {
			errs = append(errs, fmt.Errorf("name %q: there are two of it, and each user needs its own (admin and system are taken)", n))
		}
		seen = append(seen, n)
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

// place says whether a setup is there that has to give way. Anything else in
// the way stays there.
func place(dir string, force bool) (replaces bool, err error) {
	entries, err := os.ReadDir(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	case len(entries) == 0:
		return false, nil
	case !ours(dir):
		return false, hint.Add(fmt.Errorf("%s has files in it that are none of a setup", dir), "name a new directory")
	case !force:
		return false, hint.Add(fmt.Errorf("a setup is in %s already", dir), "change it without --operator (--node NAME adds a node), or begin anew with --force, "+
			"after which no credentials of the old one are valid any more")
	}
	return true, nil
}

// files are all of a new setup.
func (cfg *Config) files() (*state, []file, error) {
	s := &state{Format: stateFormat, Operator: cfg.Operator, Prefix: cfg.Prefix, Hosts: cfg.Hosts, Port: cfg.Port,
		MutualTLS: cfg.MutualTLS, Users: []user{}, Revoked: []revocation{}}
	signing, files, err := newKeys(s)
	if err != nil {
		return nil, nil, err
	}
	operator := jwt.NewOperatorClaims(s.Key)
	operator.Name, operator.SystemAccount = s.Operator, s.Accounts[systemAccount]
	if s.JWT, err = encode(operator, signing[operatorKey]); err != nil {
		return nil, nil, err
	}
	t := trust{}
	add := func(more ...file) { files = append(files, more...) }
	if cfg.TLS != nil {
		cert, key, ca, err := cfg.TLS.read(cfg.Hosts[0])
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
		cert, key, err := a.issue(cfg.Hosts[0], s.named())
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
	for _, u := range users {
		more, err := s.welcome(signing, t, u.Kind, u.Name)
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
	who, err := accounts(s, signing)
	if err != nil {
		return nil, nil, err
	}
	f, err := s.file()
	add(configuration(s, cfg.ServerDir, cfg.StoreDir), who, f)
	return s, files, err
}

// trust is what clients know the server by.
type trust struct {
	authority *authority // nil where the certificates are the user's
	pem       []byte     // nil for the systems' own authorities
}

// welcome makes a user, with all of its files.
func (s *state) welcome(signing keys, t trust, k kind, name string) ([]file, error) {
	u, creds, err := enrol(s, signing, k, name)
	if err != nil {
		return nil, err
	}
	files := []file{creds}
	if t.pem != nil && k != system { // beside admin
		files = append(files, file{u.ca(), t.pem, public})
	}
	if s.MutualTLS {
		cert, key, err := t.authority.issue(name, nil)
		if err != nil {
			return nil, err
		}
		files = append(files, file{u.cert(), cert, public}, file{u.certKey(), key, secret})
	}
	switch k {
	case node:
		files = append(files, settings(s, u, t.pem != nil))
	case reader:
		more, err := consumerFiles(name)
		if err != nil {
			return nil, err
		}
		files = append(files, more...)
	}
	s.Users = append(s.Users, *u)
	return files, nil
}
