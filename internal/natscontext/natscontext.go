// Package natscontext reads contexts of the nats command line: files that name
// NATS servers, a login and TLS, below $XDG_CONFIG_HOME/nats/context or
// ~/.config/nats/context. It connects with them as every tool of NATS does,
// with their own library.
//
// That library ignores some of what a context may have, and runs another
// program (nsc) for some. [Read] refuses such a context. It starts no
// goroutines; its functions may be called concurrently.
package natscontext

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"net/url"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Context is one context, as its file was when it was read.
type Context struct {
	Name     string
	Path     string // of its file
	Settings natscontext.Settings
}

// Read reads a context by its name, or by the absolute path of its file, and checks it and the files that it names. Its
// error quotes nothing of them.
func Read(name string) (*Context, error) {
	c := &Context{Name: name, Path: name}
	if !filepath.IsAbs(name) {
		dir, err := contextDir()
		if err != nil {
			return nil, err
		}
		if c.Path = filepath.Join(dir, name+".json"); !isName(name) {
			return nil, hint.Add(fmt.Errorf("%q is no name of a NATS context", printable.Brief(name, 64)), describeNames())
		}
	}
	text, err := os.ReadFile(c.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, hint.Add(fmt.Errorf("there is no NATS context %q (%s)", printable.Brief(name, 64), c.Path), describeNames())
	}
	if err != nil {
		return nil, fmt.Errorf("read the NATS context %s: %w", name, err)
	}
	if json.Unmarshal(text, &c.Settings) != nil { // the error may quote a secret
		return nil, fmt.Errorf("read the NATS context %s: %s is no JSON of a context", name, c.Path)
	}
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("the NATS context %s (%s): %w", name, c.Path, err)
	}
	return c, nil
}

func (c *Context) check() error {
	s := &c.Settings
	for name, value := range map[string]string{"nsc": s.NSCLookup, "user_jwt": s.UserJwt, "windows_cert_store": s.WinCertStoreType} {
		if value != "" {
			return hint.Add(fmt.Errorf("%q in it is not supported", name), "give it creds, a file, instead")
		}
	}
	if _, ok := domainOf(s.JSAPIPrefix); !ok {
		return hint.Add(errors.New(`"jetstream_api_prefix" in it is none of a domain`), "give it jetstream_domain instead")
	}
	if (s.Cert == "") != (s.Key == "") {
		return errors.New("cert and key in it go together")
	}
	for _, server := range splitServers(s.URL) {
		if u, err := parseServer(server); err != nil || u.Hostname() == "" {
			return errors.New("its url is none of NATS servers, such as tls://nats.example:4222")
		}
	}
	for _, f := range []struct {
		name, path string
		access     keyfile.Access
	}{{"creds", os.ExpandEnv(s.Creds), keyfile.Shared}, {"nkey", s.NKey, keyfile.Shared}, {"key", s.Key, keyfile.Shared}, {"cert", s.Cert, keyfile.Public},
		{"ca", s.CA, keyfile.Public}, {"password or token", c.ownSecrets(), keyfile.Shared}} {
		if f.path == "" {
			continue
		}
		path := expandHome(f.path)
		if _, err := keyfile.ReadAll(path, f.access); errors.Is(err, keyfile.ErrShared) {
			return hint.Add(fmt.Errorf("its %s in %s: %w", f.name, path, err), "make it private: chmod o= "+path)
		} else if err != nil {
			return fmt.Errorf("its %s in %s: %w", f.name, path, err)
		}
	}
	_, err := c.ClientCertificate()
	return err
}

// ownSecrets returns the context's own file if a secret is in it, else "".
func (c *Context) ownSecrets() string {
	inURL := slices.ContainsFunc(splitServers(c.Settings.URL), func(server string) bool { u, err := parseServer(server); return err == nil && u.User != nil })
	if c.Settings.Password == "" && c.Settings.Token == "" && !inURL {
		return ""
	}
	return c.Path
}

// Servers returns the servers, without users and passwords.
func (c *Context) Servers() (servers []*url.URL) {
	for _, server := range splitServers(c.Settings.URL) {
		if u, err := parseServer(server); err == nil {
			u.User = nil
			servers = append(servers, u)
		}
	}
	return servers
}

// Login returns what the login is by, as text; "" without one.
func (c *Context) Login() string {
	s := &c.Settings
	switch {
	case s.User != "":
		return "user " + printable.Brief(s.User, 64)
	case s.Creds != "":
		return "creds " + s.Creds
	case s.NKey != "":
		return "nkey " + s.NKey
	case s.Token != "":
		return "its token"
	case c.ownSecrets() != "":
		return "the user in its url"
	}
	return ""
}

// PlaintextServer returns a server on another host that the login would go to without encryption; nil if there is none.
func (c *Context) PlaintextServer() *url.URL {
	s := &c.Settings
	if c.Login() == "" || s.CA != "" || s.Cert != "" || s.TLSFirst {
		return nil
	}
	for _, u := range c.Servers() {
		if u.Scheme != "tls" && u.Scheme != "wss" && !isLoopback(u.Hostname()) {
			return u
		}
	}
	return nil
}

// JetStreamDomain returns the domain whose JetStream is used; "" for the server's own.
func (c *Context) JetStreamDomain() jsdomain.Domain {
	if c.Settings.JSDomain != "" {
		return jsdomain.Domain(c.Settings.JSDomain)
	}
	domain, _ := domainOf(c.Settings.JSAPIPrefix)
	return domain
}

// domainOf returns the domain that a prefix of JetStream's API is of. There are others, such as of imported JetStreams.
func domainOf(apiPrefix string) (domain jsdomain.Domain, ok bool) {
	parts := strings.Split(strings.TrimSuffix(apiPrefix, "."), ".")
	switch {
	case apiPrefix == "" || slices.Equal(parts, []string{"$JS", "API"}):
		return "", true
	case len(parts) == 3 && parts[0] == "$JS" && parts[2] == "API":
		return jsdomain.Domain(parts[1]), true
	}
	return "", false
}

// ClientCertificate returns the client certificate; nil if there is none.
func (c *Context) ClientCertificate() (*tls.Certificate, error) {
	if c.Settings.Cert == "" {
		return nil, nil
	}
	pair, err := tls.LoadX509KeyPair(expandHome(c.Settings.Cert), expandHome(c.Settings.Key))
	if err != nil {
		return nil, fmt.Errorf("its cert and key: %w", err)
	}
	return &pair, nil
}

// Connect connects to one of the servers. The options come after the context's own.
func (c *Context) Connect(opts ...nats.Option) (*nats.Conn, error) {
	path, err := filepath.Abs(c.Path) // by a name it would look for another file
	if err != nil {
		return nil, err
	}
	conn, _, err := natscontext.Connect(path, opts...)
	return conn, err
}

// List returns the names of the contexts that there are.
func List() (names []string) {
	dir, err := contextDir()
	if err != nil {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), ".json"); ok && isName(name) && printable.Only(name) == name {
			names = append(names, name)
		}
	}
	return names
}

// namesShown bounds the names in an error.
const namesShown = 20

func describeNames() string {
	names := List()
	dir, err := contextDir()
	switch {
	case err != nil:
		return "name it by the path of its file"
	case len(names) == 0:
		return "there is none in " + dir + "; nats context add makes one"
	case len(names) > namesShown:
		return fmt.Sprintf("there are %s and %d more in %s", strings.Join(names[:namesShown], ", "), len(names)-namesShown, dir)
	}
	return "there are " + strings.Join(names, ", ")
}

// isName reports whether a name is one that the library takes.
func isName(name string) bool {
	return name != "" && !strings.Contains(name, "..") && !strings.ContainsRune(name, filepath.Separator)
}

// contextDir returns the directory that the library uses.
func contextDir() (string, error) {
	parent := os.Getenv("XDG_CONFIG_HOME")
	if parent == "" {
		home := expandHome("~")
		if home == "~" || home == "" {
			return "", errors.New("the home directory, which has the NATS contexts, is not known")
		}
		parent = filepath.Join(home, ".config")
	}
	return filepath.Join(parent, "nats", "context"), nil
}

// expandHome returns a path with ~ replaced, as the library does.
func expandHome(path string) string {
	if !strings.HasPrefix(path, "~") {
		return path
	}
	u, err := user.Current()
	if err != nil {
		return path
	}
	return strings.Replace(path, "~", u.HomeDir, 1)
}

func splitServers(text string) (servers []string) {
	if text == "" {
		text = nats.DefaultURL
	}
	for server := range strings.SplitSeq(text, ",") {
		servers = append(servers, strings.TrimSpace(server))
	}
	return servers
}

func parseServer(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	return url.Parse(text)
}

// isLoopback reports whether a host is a loopback address or localhost. No other name is resolved.
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.Unmap().IsLoopback()
}
