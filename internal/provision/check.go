package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/nats-io/jwt/v2"
	"github.com/wazuh-pulse/pulse/internal/hint"
)

// check refuses a change that cannot be made, and a setup that an interrupted one
// has left, unless this change is what puts that right.
func (st *Setup) check(c *Change) error {
	s := st.state
	errs := []error{st.strangers(), st.strayCredentials(c.Renew)}
	seen := []string{}
	for _, n := range slices.Concat(c.Nodes, c.Readers, c.Renew, c.Revoke) {
		if slices.Contains(seen, n) {
			errs = append(errs, fmt.Errorf("name %q is there twice", n))
		}
		seen = append(seen, n)
	}
	for _, n := range slices.Concat(c.Nodes, c.Readers) {
		errs = append(errs, checkName("name", n))
		if s.index(n) >= 0 {
			errs = append(errs, hint.Add(fmt.Errorf("%s exists already", n), fmt.Sprintf("--renew %s gives it new credentials", n)))
		}
	}
	for _, n := range c.Renew {
		if s.index(n) < 0 {
			errs = append(errs, hint.Add(fmt.Errorf("there is no %s to renew", n), fmt.Sprintf("the users are %v", s.names())))
		}
	}
	for _, n := range c.Revoke {
		known := slices.ContainsFunc(s.Revoked, func(r revocation) bool { return r.Name == n })
		switch i := s.index(n); {
		case i < 0 && !known:
			errs = append(errs, hint.Add(fmt.Errorf("there is no %s to revoke", n), fmt.Sprintf("the users are %v", s.names())))
		case i >= 0 && (s.Users[i].Kind == admin || s.Users[i].Kind == system):
			errs = append(errs, hint.Add(fmt.Errorf("%s is needed", n), fmt.Sprintf("--renew %s revokes its credentials and makes new ones", n)))
		}
	}
	for _, host := range c.Hosts {
		errs = append(errs, checkHost(host))
	}
	switch {
	case c.Hosts != nil && c.TLS == nil && s.OwnTLS:
		errs = append(errs, hint.Add(errors.New("the server's certificate is your own"), "give the new one, too (--tls-cert, --tls-key)"))
	case c.TLS != nil && !s.OwnTLS:
		errs = append(errs, hint.Add(errors.New("the server's certificate is signed by the setup's own authority"), "--host makes a new one"))
	}
	return errors.Join(errs...)
}

func (s *state) names() (list []string) {
	for _, u := range s.Users {
		list = append(list, u.Name)
	}
	return list
}

// strangers refuses users that the setup does not know.
func (st *Setup) strangers() error {
	for _, k := range []kind{node, reader} {
		parent := filepath.Dir((&user{Kind: k, Name: "x"}).dir())
		entries, err := os.ReadDir(filepath.Join(st.dir, parent))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if i := st.state.index(e.Name()); i < 0 || st.state.Users[i].Kind != k {
				return hint.Add(fmt.Errorf("%s exists, and %s has no such %s: an earlier run was interrupted",
					filepath.Join(st.dir, parent, e.Name()), stateFile, k), "remove it")
			}
		}
	}
	return nil
}

// strayCredentials refuses credentials with another key than the setup knows,
// but for those that are renewed. They may have been taken away altogether.
func (st *Setup) strayCredentials(renewed []string) error {
	for _, u := range st.state.Users {
		path := filepath.Join(st.dir, u.creds())
		text, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), slices.Contains(renewed, u.Name):
			continue
		case err != nil:
			return err
		}
		claims, err := decode(text)
		if err != nil || claims.Subject != u.Key {
			return hint.Add(fmt.Errorf("%s is not the one of %s: an earlier run was interrupted", path, stateFile), fmt.Sprintf("--renew %s makes it anew", u.Name))
		}
	}
	return nil
}

func decode(creds []byte) (*jwt.UserClaims, error) {
	token, err := jwt.ParseDecoratedJWT(creds)
	if err != nil {
		return nil, err
	}
	return jwt.DecodeUserClaims(token)
}
