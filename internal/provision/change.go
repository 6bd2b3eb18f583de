package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/filelock"
	"github.com/wazuh-pulse/pulse/internal/hint"
)

// Setup is an existing setup.
type Setup struct {
	dir   string
	state *state
	lock  *filelock.Lock
	keys  keys
	trust trust
}

// Open opens a setup to change it. It has to be complete.
func Open(dir string) (*Setup, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s, err := loadState(dir)
	if err != nil {
		return nil, err
	}
	st := &Setup{dir: dir, state: s}
	if st.lock, err = lockSetupDir(dir); err != nil {
		return nil, err
	}
	if err := st.loadSetupFiles(); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// Close releases the lock of the setup.
func (st *Setup) Close() error {
	if st.lock == nil {
		return nil
	}
	return st.lock.Release()
}

func (st *Setup) loadSetupFiles() (err error) {
	if st.keys, err = loadMatchingKeys(st.dir, st.state); err != nil {
		return err
	}
	if !st.state.OwnTLS {
		if st.trust.authority, err = loadAuthority(st.dir); err != nil {
			return err
		}
		st.trust.pem = st.trust.authority.pem
	} else if st.trust.pem, err = os.ReadFile(filepath.Join(st.dir, serverCA)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if _, err := os.Stat(filepath.Join(st.dir, accountsConf)); err != nil {
		return hint.Add(fmt.Errorf("%w: the setup is incomplete", err), "restore it from a backup")
	}
	return nil
}

// Change is a change of a setup.
type Change struct {
	Nodes, Readers []string  // to add
	Leaves         []string  // leaf nodes to add
	Renew          []string  // users who get new credentials; their old ones are revoked
	Revoke         []string  // users to remove
	Hosts          []string  // the servers', whose certificate is made anew; nil for no new one
	OCSF           string    // what the subjects of OCSF events start with from now on; "" for no change
	Cluster        string    // the nodes are those of this cluster from now on; "" for no change
	TLS            *TLSFiles // the user's own new certificate; nil for none
}

// Change changes the setup. Nothing is written before all of it is checked and
// made. New files of users are written before the state of the setup, and files of revoked
// users are removed after it, so that the next change detects an interrupted one.
func (st *Setup) Change(c Change) (*Result, error) {
	if err := st.checkRequestedChange(&c); err != nil {
		return nil, err
	}
	s := st.state
	files, err := st.renewServerCertificate(&c)
	if err != nil {
		return nil, err
	}
	if c.Cluster != "" && s.Cluster == "" {
		s.Cluster = c.Cluster
		bucket, err := st.clusterStreamFile()
		if err != nil {
			return nil, err
		}
		files = append(files, bucket)
	}
	s.addDomain(&c)
	more, err := st.addOCSF(c.OCSF)
	if err != nil {
		return nil, err
	}
	files = append(files, more...)
	now := time.Now().UTC().Truncate(time.Second)
	for _, n := range slices.Concat(c.Renew, c.Revoke) {
		if i := s.indexOfUser(n); i >= 0 { // else it is revoked already
			u := s.Users[i]
			s.Revoked = append(s.Revoked, revocation{u.Kind.accountName(), u.Name, u.Key, now})
		}
	}
	for _, n := range c.Renew {
		u, creds, err := newUserWithCredentials(s, st.keys, s.Users[s.indexOfUser(n)].Kind, n)
		if err != nil {
			return nil, err
		}
		s.Users[s.indexOfUser(n)] = *u
		files = append(files, creds)
	}
	for k, names := range map[kind][]string{node: c.Nodes, reader: c.Readers, leaf: c.Leaves} {
		for _, n := range names {
			more, err := s.addUserWithFiles(st.keys, st.trust, k, n)
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
		}
	}
	more, err = st.newWillFiles(slices.Concat(c.Nodes, slices.DeleteFunc(slices.Clone(c.Renew), func(n string) bool { return s.Users[s.indexOfUser(n)].Kind != node })))
	if err != nil {
		return nil, err
	}
	files = append(files, more...)
	var gone []user
	s.Users = slices.DeleteFunc(s.Users, func(u user) bool {
		leaves := slices.Contains(c.Revoke, u.Name)
		if leaves {
			gone = append(gone, u)
		}
		return leaves
	})
	if more, err = st.rewriteLeafAccounts(); err != nil {
		return nil, err
	}
	return st.writeChangedFiles(append(files, more...), gone)
}

// addOCSF adds OCSF events to the setup: their stream, the consumers of the readers, and the setting of the nodes. It
// returns the files.
func (st *Setup) addOCSF(subject string) (files []file, err error) {
	s := st.state
	if subject == "" || s.OCSF != "" {
		return nil, nil
	}
	s.OCSF = subject
	replicas, err := st.readReplicas()
	if err != nil {
		return nil, err
	}
	cfg := s.ocsfStreamConfig()
	cfg.Replicas = replicas
	f, err := jsonFile(filepath.Join(streamsDir, ocsfStream+".json"), cfg)
	if err != nil {
		return nil, err
	}
	files = append(files, f)
	for i := range s.Users {
		u := &s.Users[i]
		if _, err := os.Stat(filepath.Join(st.dir, u.dirPath())); err != nil {
			continue // its files were moved away
		}
		switch u.Kind {
		case node:
			files = append(files, nodeSettingsFile(s, u, st.trust.pem != nil))
		case reader:
			f, err := jsonFile(consumerFilePath(ocsfStream, u.Name), consumerConfig(ocsfStream, u.Name))
			if err != nil {
				return nil, err
			}
			files = append(files, f)
		}
	}
	return files, nil
}

// writeChangedFiles writes files, then the state of the setup, and then removes the files of revoked users.
func (st *Setup) writeChangedFiles(files []file, gone []user) (*Result, error) {
	what, err := st.state.encodeStateFile()
	if err != nil {
		return nil, err
	}
	who, err := accountsFile(st.state, st.keys)
	if err != nil {
		return nil, err
	}
	done := &Result{Setup: st}
	for _, f := range append(files, what, who) {
		if err := f.writeBelow(st.dir); err != nil {
			return nil, fmt.Errorf("change the setup: %w", err)
		}
		done.Written = append(done.Written, f.path)
		if err := st.removeFormerSettings(f.path); err != nil {
			return nil, err
		}
	}
	for _, u := range gone {
		if err := st.removeUserFiles(&u); err != nil {
			return nil, fmt.Errorf("remove the files of %s, who may not log in any more: %w", u.Name, err)
		}
	}
	return done, nil
}

// removeFormerSettings removes the settings that an earlier version wrote for a node, when new ones are written. Two files
// would differ.
func (st *Setup) removeFormerSettings(written string) error {
	dir, ok := strings.CutSuffix(written, nodeSettings)
	if !ok {
		return nil
	}
	if err := os.Remove(filepath.Join(st.dir, dir, formerNodeSettings)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the settings of an earlier version: %w", err)
	}
	return nil
}

func (st *Setup) removeUserFiles(u *user) error {
	if err := os.RemoveAll(filepath.Join(st.dir, u.dirPath())); err != nil {
		return err
	}
	var paths []string
	switch u.Kind {
	case node:
		paths = append(paths, willFilePath(u.Name))
	case reader:
		for _, stream := range st.state.listConsumedStreams() {
			paths = append(paths, consumerFilePath(stream, u.Name))
		}
	}
	for _, path := range paths {
		if err := os.Remove(filepath.Join(st.dir, path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// renewServerCertificate makes a new certificate of the server, if the change has one.
func (st *Setup) renewServerCertificate(c *Change) (files []file, err error) {
	s := st.state
	if c.Hosts == nil && c.TLS == nil {
		return nil, nil
	}
	if c.Hosts != nil {
		s.Hosts = c.Hosts
	}
	var cert, key []byte
	if c.TLS != nil {
		cert, key, st.trust.pem, err = c.TLS.readForHost(s.Hosts[0])
	} else {
		cert, key, err = st.trust.authority.issueCertificate(s.Hosts[0], s.certificateHosts())
	}
	if err != nil {
		return nil, err
	}
	files = []file{{serverKey, key, secret}, {serverCert, cert, public}}
	if st.trust.pem != nil {
		files = append(files, file{serverCA, st.trust.pem, public})
	}
	for i := range s.Users {
		u := &s.Users[i]
		if _, err := os.Stat(filepath.Join(st.dir, u.dirPath())); err != nil || u.Kind == system {
			continue // its files were moved away
		}
		if st.trust.pem != nil {
			files = append(files, file{u.caPath(), st.trust.pem, public})
		}
		if u.Kind == node {
			files = append(files, nodeSettingsFile(s, u, st.trust.pem != nil))
		}
	}
	return files, nil
}
