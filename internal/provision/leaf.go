package provision

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
)

const (
	// leafDomain is the JetStream domain of a server with leaf nodes.
	leafDomain = "hub"
	// leafPort is where such a server listens for them.
	leafPort = 7422
	// leafHome is where a leaf node's files are on its host.
	leafHome = "/etc/nats"
)

// The names of a leaf node's files.
const (
	leafConf     = "leaf.conf"
	leafAccounts = "accounts.conf"
	leafCreds    = "leaf.creds"
	leafCA       = "ca.crt"
	leafCert     = "leaf.crt"
	leafKey      = "leaf.key"
	leafSettings = "pulse.d/nats_leaf.conf" // is read behind nats.conf
)

// domain returns the JetStream domain that nodes at leaf nodes name; "" for a setup without leaf nodes.
func (s *state) domain() jsdomain.Domain { return jsdomain.Domain(s.Domain) }

// addDomainImports adds imports of services under the subjects of the domain: what a leaf node
// hands on has these.
func (s *state) addDomainImports(by, from *jwt.AccountClaims, services []service) {
	for _, of := range services {
		if local := s.domain().Subject(of.subject); local != of.subject {
			by.Imports.Add(&jwt.Import{Name: local, Subject: jwt.Subject(of.subject), LocalSubject: jwt.RenamingSubject(local), Account: from.Subject, Type: jwt.Service})
		}
	}
}

// leafRights returns the rights of a leaf node's connection: what all nodes may do. Which of
// them may do what, the leaf node itself sees to.
func (s *state) leafRights() jwt.Permissions {
	var p jwt.Permissions
	prefix, domain := event.Prefix(s.Prefix), s.domain()
	if s.OCSF != "" {
		p.Pub.Allow.Add(s.OCSF + ".>")
	}
	p.Pub.Allow.Add(prefix.StatusChanges(), string(prefix)+".alerts.*", prefix.KeepAlive("*"), prefix.ManagerStatus("*"), lastwill.Subject("*"), "pulse.*.presence", "pulse.*.cluster",
		domain.Subject("$JS.API.INFO"), domain.Subject("$JS.API.STREAM.LIST"), domain.Subject("$JS.API.STREAM.INFO.*"), domain.Subject("$JS.API.DIRECT.GET.>"),
		domain.Subject("$KV."+event.AgentsBucket+".*"), domain.Subject("$KV."+keysBucket+".>"), domain.Subject("$KV."+kv.ClusterBucket+".>"), "_INBOX.>", "_R_.>")
	p.Sub.Allow.Add("_INBOX.>", "pulse.>", "$SRV.>", "_R_.>")
	return p
}

// leafFiles returns the files of a new leaf node, without its credentials.
func (s *state) leafFiles(signing keys, t trust, u *user) ([]file, error) {
	if t.authority == nil {
		return nil, UsageError{hint.Add(errors.New("a leaf node's certificate is made by an authority of the setup's own"), "set it up by hand, as docs/nats.md has it")}
	}
	cert, key, err := t.authority.issueCertificate(u.Name, localHosts)
	if err != nil {
		return nil, err
	}
	accounts, err := s.leafAccountsFile(signing, u)
	if err != nil {
		return nil, err
	}
	return []file{{u.leafPath(leafCert), cert, public}, {u.leafPath(leafKey), key, secret}, accounts, s.leafConfigFile(u), leafSettingsFile(u)}, nil
}

func (u *user) leafPath(name string) string { return filepath.Join(u.dirPath(), name) }

// leafConfigFile returns the configuration of a leaf node. It is written once, for its owner to change.
func (s *state) leafConfigFile(u *user) file {
	var urls []string
	for _, host := range s.Hosts {
		urls = append(urls, strconv.Quote("tls://"+net.JoinHostPort(host, strconv.Itoa(leafPort))))
	}
	at := func(name string) string { return filepath.Join(leafHome, name) }
	return file{u.leafPath(leafConf), fmt.Appendf(nil, `# A leaf node of the NATS server of the operator %s, for the Pulse nodes on its host: the directory of this file is
# %s there. This file is yours: pulse provision does not touch it again. It does rewrite accounts.conf, after which:
# nats-server --signal reload

server_name: %q
listen: "127.0.0.1:%d"

include "accounts.conf"

tls {
  cert_file: %q
  key_file: %q
  min_version: "1.2"
  timeout: 5
}

leafnodes {
  remotes: [ {
    urls: [ %s ]
    account: %q
    credentials: %q
    tls { ca_file: %q }
  } ]
}
`, s.Operator, leafHome, u.Name, DefaultPort, at(leafCert), at(leafKey), strings.Join(urls, ", "), s.Accounts[nodesAccount], at(leafCreds), at(leafCA)), public}
}

// leafAccountsFile returns the part of a leaf node's configuration with the accounts. That of
// the nodes has no imports there: what nodes publish and ask for goes to the server, and not to an
// account of the leaf node.
func (s *state) leafAccountsFile(signing keys, u *user) (file, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by pulse provision, which writes it again: do not edit.\n\noperator: %s\nsystem_account: %s\n\nresolver: MEMORY\nresolver_preload: {\n",
		s.JWT, s.Accounts[systemAccount])
	claims := allAccountClaims(s)
	for _, name := range []string{systemAccount, nodesAccount} {
		claims[name].Imports, claims[name].Exports = nil, nil
		token, err := encodeSignedClaims(claims[name], signing[operatorKey])
		if err != nil {
			return file{}, err
		}
		fmt.Fprintf(&b, "  # %s\n  %s: %s\n", name, s.Accounts[name], token)
	}
	b.WriteString("}\n")
	return file{u.leafPath(leafAccounts), []byte(b.String()), public}, nil
}

// leafSettingsFile returns the settings of a node on the leaf node's host.
func leafSettingsFile(u *user) file {
	return file{u.leafPath(leafSettings), fmt.Appendf(nil, `<!-- The NATS server is the leaf node %s on this host. This file goes to %s/pulse.d, beside nats.conf. -->
<ossec_config>
  <nats>
    <server_url>tls://127.0.0.1:%d</server_url>
    <jetstream_domain>%s</jetstream_domain>
  </nats>
</ossec_config>
`, escapeXMLComment(u.Name), nodeHome, DefaultPort, leafDomain), public}
}

// rewriteLeafAccounts returns the leaf nodes' accounts as they are now.
func (st *Setup) rewriteLeafAccounts() (files []file, err error) {
	for i := range st.state.Users {
		u := &st.state.Users[i]
		if u.Kind != leaf {
			continue
		}
		if _, err := os.Stat(filepath.Join(st.dir, u.dirPath())); err != nil {
			continue // its files were moved away
		}
		f, err := st.state.leafAccountsFile(st.keys, u)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	return files, nil
}

// addDomain gives the setup a domain, if a change has leaf nodes and it has none.
func (s *state) addDomain(c *Change) {
	if len(c.Leaves) > 0 {
		s.Domain = leafDomain
	}
}
