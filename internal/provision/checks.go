package provision

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/hint"
)

// UsageError is an error in the arguments, such as a bad name.
type UsageError struct{ error }

func (m UsageError) Unwrap() error { return m.error }

// blameUsage returns an error as one in the arguments, nil as nil.
func blameUsage(err error) error {
	if err == nil {
		return nil
	}
	return UsageError{err}
}

// A name is used as a directory, a token of subjects and the key of a bucket.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

func checkName(what, s string) error {
	if !namePattern.MatchString(s) {
		return fmt.Errorf("%s %q: want 1 to 64 letters of a to z, digits, - and _, the first a letter or digit", what, s)
	}
	return nil
}

// checkOperatorName accepts any printable name: it is only shown.
func checkOperatorName(s string) error {
	if s == "" || len(s) > 128 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("operator %q: want a name of 1 to 128 bytes without control characters", s)
	}
	return nil
}

// checkSubjectPrefix refuses a prefix that the server, or the micro service, uses for other
// messages.
func checkSubjectPrefix(prefix string) error {
	if err := event.Prefix(prefix).Valid(); err != nil {
		return err
	}
	first, _, _ := strings.Cut(prefix, ".")
	switch {
	case len(prefix) > 128:
		return fmt.Errorf("subject prefix %.20q...: longer than 128 bytes", prefix)
	case first == "pulse" || strings.HasPrefix(first, "_"):
		return hint.Add(fmt.Errorf("subject prefix %q: questions and their answers begin with %q", prefix, first), "choose another")
	}
	return nil
}

// checkOCSFSubject refuses, for OCSF events, what is refused for messages, and the subjects of the messages.
func checkOCSFSubject(subject, prefix string) error {
	if err := checkSubjectPrefix(subject); err != nil {
		return fmt.Errorf("OCSF: %w", err)
	}
	if strings.HasPrefix(subject+".", prefix+".") || strings.HasPrefix(prefix+".", subject+".") {
		return hint.Add(fmt.Errorf("OCSF: one of %q and the messages' prefix %q is within the other", subject, prefix), "choose another, such as ocsf.wazuh")
	}
	return nil
}

// checkServerHost accepts IP addresses and the host names of certificates (RFC 1123).
func checkServerHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	problem := error(nil)
	switch {
	case host == "" || len(host) > 253:
		problem = errors.New("want 1 to 253 bytes")
	case strings.Contains(host, ":"):
		problem = errors.New("want a name or an address without a port, which is --port's")
	default:
		for label := range strings.SplitSeq(host, ".") {
			if !hostLabelPattern.MatchString(label) {
				problem = errors.New("want an IP address, or a name of letters, digits and - between its dots")
			}
		}
	}
	if problem != nil {
		return fmt.Errorf("host %q: %w", host, problem)
	}
	return nil
}

var hostLabelPattern = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// checkQuotedPath refuses characters that would end a quoted string of a configuration file.
func checkQuotedPath(what, path string) error {
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\\' }) {
		return fmt.Errorf("%s %q: want an absolute path without quotes, backslashes and control characters", what, path)
	}
	return nil
}

// refuseUnknownName returns the error for a name that no user has.
func (s *state) refuseUnknownName(name, what string) error {
	names := s.userNames()
	advice := "the users are " + strings.Join(names, ", ")
	if near := hint.FindNearest(name, names); near != "" {
		advice += fmt.Sprintf("; did you mean %s?", near)
	}
	return UsageError{hint.Add(fmt.Errorf("there is no %s to %s", name, what), advice)}
}

// checkRequestedChange refuses a change that cannot be made, and any change after an interrupted
// one, unless it repairs that.
func (st *Setup) checkRequestedChange(c *Change) error {
	s := st.state
	errs := []error{st.refuseUnknownUsers(), st.refuseStrayCredentials(c.Renew)}
	seen := []string{}
	for _, n := range slices.Concat(c.Nodes, c.Readers, c.Leaves, c.Renew, c.Revoke) {
		if slices.Contains(seen, n) {
			errs = append(errs, UsageError{fmt.Errorf("name %q is given twice", n)})
		}
		seen = append(seen, n)
	}
	for _, n := range slices.Concat(c.Nodes, c.Readers, c.Leaves) {
		errs = append(errs, blameUsage(checkName("name", n)))
		if s.indexOfUser(n) >= 0 {
			errs = append(errs, hint.Add(fmt.Errorf("%s exists already", n), fmt.Sprintf("--renew %s gives it new credentials", n)))
		}
	}
	for _, n := range c.Renew {
		if s.indexOfUser(n) < 0 {
			errs = append(errs, s.refuseUnknownName(n, "renew"))
		}
	}
	for _, n := range c.Revoke {
		known := slices.ContainsFunc(s.Revoked, func(r revocation) bool { return r.Name == n })
		switch i := s.indexOfUser(n); {
		case i < 0 && !known:
			errs = append(errs, s.refuseUnknownName(n, "revoke"))
		case i >= 0 && (s.Users[i].Kind == admin || s.Users[i].Kind == system):
			errs = append(errs, hint.Add(fmt.Errorf("%s is needed", n), fmt.Sprintf("--renew %s revokes its credentials and makes new ones", n)))
		}
	}
	if len(c.Leaves) > 0 && s.Hub != "" {
		errs = append(errs, UsageError{errors.New("leaf nodes are of a NATS server of its own, and not of a node's")})
	}
	for _, host := range c.Hosts {
		errs = append(errs, blameUsage(checkServerHost(host)))
	}
	if c.Cluster != "" {
		errs = append(errs, blameUsage(checkName("cluster", c.Cluster)))
	}
	if c.Cluster != "" && s.Cluster != "" && c.Cluster != s.Cluster {
		errs = append(errs, hint.Add(fmt.Errorf("the nodes are those of cluster %s", s.Cluster), "another cluster has other agents with the same numbers: make another setup for it"))
	}
	if c.OCSF != "" {
		errs = append(errs, checkOCSFSubject(c.OCSF, s.Prefix))
	}
	if c.OCSF != "" && s.OCSF != "" && c.OCSF != s.OCSF {
		errs = append(errs, hint.Add(fmt.Errorf("OCSF events are on %s", s.OCSF), "consumers and rights are for that: make another setup for others"))
	}
	switch {
	case c.Hosts != nil && c.TLS == nil && s.OwnTLS:
		errs = append(errs, hint.Add(errors.New("the server's certificate is your own"), "give the new one, too (--tls-cert, --tls-key)"))
	case c.TLS != nil && !s.OwnTLS:
		errs = append(errs, hint.Add(errors.New("the server's certificate is signed by the setup's own authority"), "--host makes a new one"))
	}
	return errors.Join(errs...)
}

func (s *state) userNames() (list []string) {
	for _, u := range s.Users {
		list = append(list, u.Name)
	}
	return list
}

// refuseUnknownUsers returns an error if there are files of users that the setup does not have.
func (st *Setup) refuseUnknownUsers() error {
	for _, k := range []kind{node, reader} {
		parent := filepath.Dir((&user{Kind: k, Name: "x"}).dirPath())
		entries, err := os.ReadDir(filepath.Join(st.dir, parent))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		for _, e := range entries {
			if i := st.state.indexOfUser(e.Name()); i < 0 || st.state.Users[i].Kind != k {
				return hint.Add(fmt.Errorf("%s exists, and %s has no such %s: an earlier run was interrupted",
					filepath.Join(st.dir, parent, e.Name()), stateFile, k), "remove it")
			}
		}
	}
	return nil
}

// refuseStrayCredentials returns an error if credentials have another key than the setup
// has, unless they are renewed. Credentials that were moved away are no error.
func (st *Setup) refuseStrayCredentials(renewed []string) error {
	for _, u := range st.state.Users {
		path := filepath.Join(st.dir, u.credsPath())
		text, err := os.ReadFile(path)
		switch {
		case errors.Is(err, fs.ErrNotExist), slices.Contains(renewed, u.Name):
			continue
		case err != nil:
			return err
		}
		claims, err := decodeCredentials(text)
		if err != nil || claims.Subject != u.Key {
			return hint.Add(fmt.Errorf("%s is not the one of %s: an earlier run was interrupted", path, stateFile), fmt.Sprintf("--renew %s makes it anew", u.Name))
		}
	}
	return nil
}

func decodeCredentials(creds []byte) (*jwt.UserClaims, error) {
	token, err := jwt.ParseDecoratedJWT(creds)
	if err != nil {
		return nil, err
	}
	return jwt.DecodeUserClaims(token)
}
