package provision_test

import (
	"bytes"
	"crypto/tls"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/provision"
)

// seed is an NKey's: 58 characters of base32, more than chance makes in a certificate.
var seed = regexp.MustCompile(`\bS[OAU][A-Z2-7]{56}\b`)

func TestSecretsAreForTheirOwnerOnly(t *testing.T) {
	cfg := requestedConfig(t)
	cfg.MutualTLS = true
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	secrets := 0
	if err := filepath.WalkDir(cfg.Dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		want := fs.FileMode(0o644)
		switch ext := filepath.Ext(path); {
		case d.IsDir():
			want = 0o700
		case ext == ".creds" || ext == ".nk" || ext == ".key":
			want, secrets = 0o600, secrets+1
		default:
			if text, err := os.ReadFile(path); err != nil || bytes.Contains(text, []byte("PRIVATE KEY")) || seed.Match(text) {
				t.Errorf("%s: a secret is in it, or %v", path, err)
			}
		}
		if mode := modeOf(t, path); mode != want {
			t.Errorf("%s has mode %o, want %o", path, mode, want)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := 5 + 1 + 1 + 6 + 6; secrets != want { // keys, authority, server, credentials, clients' keys
		t.Errorf("%d secret files, want %d", secrets, want)
	}
}

func TestNothingIsOverwritten(t *testing.T) {
	cfg := requestedConfig(t)
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(cfg.Dir, "private/operator.nk")
	before, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provision.New(cfg); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("a second time: %v", err)
	}
	if now, err := os.ReadFile(key); err != nil || !bytes.Equal(now, before) {
		t.Errorf("the key has changed, or %v", err)
	}
	cfg.Force = true
	done, err := provision.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if aside, err := os.ReadFile(filepath.Join(done.Aside, "private/operator.nk")); err != nil || !bytes.Equal(aside, before) {
		t.Errorf("moved aside: %v", err)
	}
	if now, err := os.ReadFile(key); err != nil || bytes.Equal(now, before) {
		t.Errorf("the key is the old one, or %v", err)
	}
	other := cfg
	other.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(other.Dir, "mine"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := provision.New(other); err == nil || !strings.Contains(err.Error(), "none of a setup") {
		t.Errorf("into a directory of somebody else's: %v", err)
	}
}

func TestWhatIsNotWholeIsRefusedWithTheWayOut(t *testing.T) {
	for _, c := range []struct {
		name, want string
		spoil      func(dir string) error
	}{
		{"no setup at all", "make one with --operator", os.RemoveAll},
		{"its description is gone", "restore it from a backup", func(dir string) error { return os.Remove(filepath.Join(dir, "provision.json")) }},
		{"its description is damaged", "is damaged", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "provision.json"), []byte("{"), 0o600)
		}},
		{"a key is gone", "restore ", func(dir string) error { return os.Remove(filepath.Join(dir, "private/NODES.nk")) }},
		{"a key is another one", "is the key of another setup", func(dir string) error {
			return os.Rename(filepath.Join(dir, "private/XDR.nk"), filepath.Join(dir, "private/NODES.nk"))
		}},
		{"a user that nobody knows", "has no such node", func(dir string) error { return os.Mkdir(filepath.Join(dir, "nodes/stray"), 0o700) }},
		{"credentials of another key", "--renew node01", func(dir string) error {
			return os.Rename(filepath.Join(dir, "nodes/node02/pulse-nats.creds"), filepath.Join(dir, "nodes/node01/pulse-nats.creds"))
		}},
		{"the accounts are gone", "is incomplete", func(dir string) error { return os.Remove(filepath.Join(dir, "server/accounts.conf")) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := requestedConfig(t)
			if _, err := provision.New(cfg); err != nil {
				t.Fatal(err)
			}
			if err := c.spoil(cfg.Dir); err != nil {
				t.Fatal(err)
			}
			st, err := provision.Open(cfg.Dir)
			if err == nil {
				_, err = st.Change(provision.Change{Nodes: []string{"node03"}})
				_ = st.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func TestAnUnfinishedSetupIsNotTakenForOne(t *testing.T) {
	cfg := requestedConfig(t)
	if err := os.Mkdir(cfg.Dir+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := provision.New(cfg); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("%v", err)
	}
}

func TestWrongNamesAreRefused(t *testing.T) {
	for want, spoil := range map[string]func(*provision.Config){
		`operator ""`: func(c *provision.Config) { c.Operator = "" },
		`"a.b"`:       func(c *provision.Config) { c.Nodes = []string{"a.b"} },
		`"../x"`:      func(c *provision.Config) { c.Nodes = []string{"../x"} },
		`"x*"`:        func(c *provision.Config) { c.Readers = []string{"x*"} },
		`"xdr" is used twice`: func(c *provision.Config) {
			c.Nodes, c.Readers = []string{"xdr"}, []string{"xdr"}
		},
		`prefix "a b"`:       func(c *provision.Config) { c.Prefix = "a b" },
		`begin with "pul`:    func(c *provision.Config) { c.Prefix = "pulse.x" },
		`host "a:1"`:         func(c *provision.Config) { c.Hosts = []string{"a:1"} },
		`host "a\"b"`:        func(c *provision.Config) { c.Hosts = []string{`a"b`} },
		"no host":            func(c *provision.Config) { c.Hosts = nil },
		"port 0":             func(c *provision.Config) { c.Port = 0 },
		"replicas 2":         func(c *provision.Config) { c.Replicas = 2 },
		"server's directory": func(c *provision.Config) { c.ServerDir = "relative" },
	} {
		cfg := requestedConfig(t)
		spoil(&cfg)
		if _, err := provision.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
		if _, err := os.Stat(cfg.Dir); err == nil {
			t.Errorf("%s: it is made all the same", want)
		}
	}
}

func TestNodesComeLaterAndCredentialsEnd(t *testing.T) {
	s := newStage(t)
	change := func(c provision.Change) {
		t.Helper()
		st := s.open()
		if _, err := st.Change(c); err != nil {
			t.Fatal(err)
		}
		if err := st.Close(); err != nil {
			t.Fatal(err)
		}
	}
	// A node that comes later needs nothing of the server.
	change(provision.Change{Nodes: []string{"node03"}})
	_, js := s.node("node03")
	s.tell(js, "wazuh.xdr.manager.status.node03", "{}")

	old := filepath.Join(t.TempDir(), "old.creds")
	for _, c := range []struct {
		name   string
		change provision.Change
		file   string
		stays  bool
	}{
		{"renewed", provision.Change{Renew: []string{"node01"}}, "nodes/node01/pulse-nats.creds", true},
		{"revoked", provision.Change{Revoke: []string{"node02"}}, "nodes/node02/pulse-nats.creds", false},
		{"a reader, revoked", provision.Change{Revoke: []string{"soc"}}, "readers/soc/soc.creds", false},
	} {
		text, err := os.ReadFile(s.path(c.file))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(old, text, 0o600); err != nil {
			t.Fatal(err)
		}
		cut := make(chan struct{})
		with := func(path string) (*nats.Conn, error) {
			return nats.Connect(s.url(), nats.UserCredentials(path), nats.RootCAs(s.path("server/ca.crt")), nats.NoReconnect(), nats.Timeout(patience))
		}
		nc, err := with(old)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		t.Cleanup(nc.Close)
		nc.SetClosedHandler(func(*nats.Conn) { close(cut) })
		change(c.change)
		s.reload()
		select {
		case <-cut:
		case <-patient(t).Done():
			t.Errorf("%s: who is connected stays", c.name)
		}
		if nc, err := with(old); err == nil {
			t.Errorf("%s: the old credentials are good", c.name)
			nc.Close()
		}
		if nc, err := with(s.path(c.file)); (err == nil) != c.stays {
			t.Errorf("%s: what is there now: %v", c.name, err)
		} else if err == nil {
			nc.Close()
		}
	}
	change(provision.Change{Revoke: []string{"node02"}}) // once more does no harm
}

// reload has the server read its files again, as its signal does.
func (s *stage) reload() {
	s.Helper()
	if err := s.srv.Reload(); err != nil {
		s.Fatal(err)
	}
}

func TestTheServerIsKnownByItsCertificateAndClientsByTheirs(t *testing.T) {
	s := newStage(t, func(c *provision.Config) { c.MutualTLS = true })
	creds := nats.UserCredentials(s.path("readers/xdr/xdr.creds"))
	ca, pair := nats.RootCAs(s.path("readers/xdr/ca.crt")), nats.ClientCert(s.path("readers/xdr/xdr.crt"), s.path("readers/xdr/xdr.key"))
	for name, c := range map[string]struct {
		opts []nats.Option
		good bool
	}{
		"all that it takes": {[]nats.Option{creds, ca, pair}, true},
		"no certificate":    {[]nats.Option{creds, ca}, false},
		"no credentials":    {[]nats.Option{ca, pair}, false},
		"another authority": {[]nats.Option{creds, pair}, false},
	} {
		nc, err := nats.Connect(s.url(), append(c.opts, nats.Timeout(patience))...)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil {
			nc.Close()
		}
	}
}

func TestTheServersCertificateIsMadeAnew(t *testing.T) {
	cfg := requestedConfig(t)
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	st, err := provision.Open(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	if _, err := st.Change(provision.Change{Hosts: []string{"nats-1.example", "10.0.0.7"}}); err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(cfg.Dir, "server/server.crt"), filepath.Join(cfg.Dir, "server/server.key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"nats-1.example", "10.0.0.7", "localhost", "127.0.0.1"} {
		if err := pair.Leaf.VerifyHostname(host); err != nil {
			t.Error(err)
		}
	}
	text, err := os.ReadFile(filepath.Join(cfg.Dir, "nodes/node01/pulse.d/nats.conf"))
	if err != nil || !strings.Contains(string(text), "tls://nats-1.example:") || !strings.Contains(string(text), ",tls://10.0.0.7:") {
		t.Errorf("the node's settings: %s, %v", text, err)
	}
}

func TestTheSettingsOfAnEarlierVersionGoWhenNewOnesAreWritten(t *testing.T) {
	cfg := requestedConfig(t)
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	st, err := provision.Open(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	former := filepath.Join(cfg.Dir, "nodes/node01/pulse-nats.conf")
	if err := os.WriteFile(former, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := st.Change(provision.Change{Hosts: []string{"127.0.0.1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(former); !os.IsNotExist(err) {
		t.Errorf("%v", err)
	}
}

// The certificate of another setup's server is as good as any that one owns.
func TestACertificateOfYourOwnIsTakenIfItIsForTheHost(t *testing.T) {
	owner := requestedConfig(t)
	if _, err := provision.New(owner); err != nil {
		t.Fatal(err)
	}
	own := func(ca string) *provision.TLSFiles {
		return &provision.TLSFiles{Cert: filepath.Join(owner.Dir, "server/server.crt"), Key: filepath.Join(owner.Dir, "server/server.key"), CA: ca}
	}
	stranger := requestedConfig(t)
	if _, err := provision.New(stranger); err != nil {
		t.Fatal(err)
	}
	ca := filepath.Join(owner.Dir, "server/ca.crt")
	for want, spoil := range map[string]func(*provision.Config){
		"name the server with --host": func(c *provision.Config) { c.Hosts = []string{"elsewhere.example"} },
		"is not signed by":            func(c *provision.Config) { c.TLS = own(filepath.Join(stranger.Dir, "server/ca.crt")) },
		"are no pair":                 func(c *provision.Config) { c.TLS.Key = filepath.Join(stranger.Dir, "server/server.key") },
		"no certificate in PEM":       func(c *provision.Config) { c.TLS.CA = filepath.Join(owner.Dir, "provision.json") },
		"leave out":                   func(c *provision.Config) { c.MutualTLS = true },
	} {
		cfg := requestedConfig(t)
		cfg.TLS = own(ca)
		spoil(&cfg)
		if _, err := provision.New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	s := newStage(t, func(c *provision.Config) { c.TLS = own(ca) })
	if _, err := os.Stat(s.path("private/ca.key")); err == nil {
		t.Error("an authority is made all the same")
	}
	nc, _ := s.reader("xdr")
	s.nothingRefused(nc)
	st := s.open()
	if _, err := st.Change(provision.Change{Hosts: []string{"localhost"}}); err == nil || !strings.Contains(err.Error(), "--tls-cert") {
		t.Errorf("another host without its certificate: %v", err)
	}
	if _, err := st.Change(provision.Change{TLS: own(ca)}); err != nil {
		t.Error(err)
	}
}

func TestTwoChangesAtATimeAreKeptApart(t *testing.T) {
	cfg := requestedConfig(t)
	if _, err := provision.New(cfg); err != nil {
		t.Fatal(err)
	}
	first, err := provision.Open(cfg.Dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provision.Open(cfg.Dir); err == nil || !strings.Contains(err.Error(), "another pulse provision is at work") {
		t.Errorf("a second one: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if again, err := provision.Open(cfg.Dir); err != nil {
		t.Error(err)
	} else if err := again.Close(); err != nil {
		t.Error(err)
	}
}
