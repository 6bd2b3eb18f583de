package provision

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// serverDir has what is to be carried to the NATS server.
const serverDir = "server"

var (
	serverConf   = filepath.Join(serverDir, "nats-server.conf")
	accountsConf = filepath.Join(serverDir, "accounts.conf")
	serverCert   = filepath.Join(serverDir, "server.crt")
	serverKey    = filepath.Join(serverDir, "server.key")
	serverCA     = filepath.Join(serverDir, "ca.crt")
)

// configuration is the server's own. It is written once, and then its owner's to change.
func configuration(s *state, at, store string) file {
	verify := ""
	if s.MutualTLS {
		verify = fmt.Sprintf("\n  # clients show a certificate, too\n  verify: true\n  ca_file: %q", filepath.Join(at, filepath.Base(serverCA)))
	}
	return file{serverConf, fmt.Appendf(nil, `# A NATS server for Pulse, of the operator %s. This file is yours: pulse provision does not
# touch it again. It does rewrite accounts.conf, after which: nats-server --signal reload

server_name: %q
listen: "0.0.0.0:%d"

include "accounts.conf"

jetstream {
  store_dir: %q
  max_memory_store: 64MB
  max_file_store: 50GB
}

tls {
  cert_file: %q
  key_file: %q
  min_version: "1.2"
  timeout: 5%s
}
`, s.Operator, s.Hosts[0], s.Port, store, filepath.Join(at, filepath.Base(serverCert)), filepath.Join(at, filepath.Base(serverKey)), verify), public}
}

// accounts is the part of the configuration that says who there is. Nothing in it
// is secret.
func accounts(s *state, signing keys) (file, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by pulse provision, which writes it again: do not edit.\n\noperator: %s\nsystem_account: %s\n\nresolver: MEMORY\nresolver_preload: {\n",
		s.JWT, s.Accounts[systemAccount])
	claims := accountClaims(s)
	for _, name := range accountNames {
		token, err := encode(claims[name], signing[operatorKey])
		if err != nil {
			return file{}, err
		}
		fmt.Fprintf(&b, "  # %s\n  %s: %s\n", name, s.Accounts[name], token)
	}
	b.WriteString("}\n")
	return file{accountsConf, []byte(b.String()), public}, nil
}

// URLs are those of the server, as for <server_url>.
func (s *state) urls() string {
	var list []string
	for _, host := range s.Hosts {
		list = append(list, "tls://"+net.JoinHostPort(host, strconv.Itoa(s.Port)))
	}
	return strings.Join(list, ",")
}

// settings are those of a node, to be read beside its others.
func settings(s *state, u *user, trusts bool) file {
	var tls strings.Builder
	if trusts {
		fmt.Fprintf(&tls, "\n    <tls_ca>%s/%s</tls_ca>", nodeHome, nodeCA)
	}
	if s.MutualTLS {
		fmt.Fprintf(&tls, "\n    <tls_cert>%s/%s</tls_cert>\n    <tls_key>%s/%s</tls_key>", nodeHome, nodeCert, nodeHome, nodeKey)
	}
	return file{filepath.Join(u.dir(), nodeSettings), fmt.Appendf(nil, `<!-- The way to the NATS server of the operator %s: copy this directory's files to %s, and
     start Pulse with this file beside its others: pulse run --config pulse.conf --config %s -->
<ossec_config>
  <nats>
    <server_url>%s</server_url>
    <credentials_file>%s/%s</credentials_file>%s
    <subject_prefix>%s</subject_prefix>
  </nats>
  <pulse>
    <node_name>%s</node_name>
  </pulse>
</ossec_config>
`, comment(s.Operator), nodeHome, nodeSettings, s.urls(), nodeHome, nodeCreds, tls.String(), s.Prefix, u.Name), public}
}

// comment makes a text fit for an XML comment.
func comment(s string) string {
	return strings.NewReplacer("-", "‐", "<", "‹", ">", "›").Replace(s)
}

// named is what the server's certificate is for.
func (s *state) named() []string {
	list := slices.Clone(s.Hosts)
	for _, name := range alwaysNamed {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}
