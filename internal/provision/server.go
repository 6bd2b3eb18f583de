package provision

import (
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// serverDir has the files for the NATS server.
const serverDir = "server"

var (
	serverConf   = filepath.Join(serverDir, "nats-server.conf")
	accountsConf = filepath.Join(serverDir, "accounts.conf")
	serverCert   = filepath.Join(serverDir, "server.crt")
	serverKey    = filepath.Join(serverDir, "server.key")
	serverCA     = filepath.Join(serverDir, "ca.crt")
)

// serverConfigFile returns the server's configuration. It is written once, for its owner to change.
func serverConfigFile(s *state, at, store string) file {
	verify, domain, leaves := "", "", ""
	if s.Domain != "" {
		domain = fmt.Sprintf("\n  domain: %s", s.Domain)
		leaves = fmt.Sprintf(`
leafnodes {
  listen: "0.0.0.0:%d"
  tls {
    cert_file: %q
    key_file: %q
    timeout: 5
  }
}
`, leafPort, filepath.Join(at, filepath.Base(serverCert)), filepath.Join(at, filepath.Base(serverKey)))
	}
	if s.MutualTLS {
		verify = fmt.Sprintf("\n  # clients show a certificate, too\n  verify: true\n  ca_file: %q", filepath.Join(at, filepath.Base(serverCA)))
	}
	return file{serverConf, fmt.Appendf(nil, `# A NATS server for Pulse, of the operator %s. This file is yours: pulse provision does not
# touch it again. It does rewrite accounts.conf, after which: nats-server --signal reload

server_name: %q
listen: "0.0.0.0:%d"

include "accounts.conf"

jetstream {%s
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
%s`, s.Operator, s.Hosts[0], s.Port, domain, store, filepath.Join(at, filepath.Base(serverCert)), filepath.Join(at, filepath.Base(serverKey)), verify, leaves), public}
}

// accountsFile returns the part of the configuration with the accounts. It has no
// secret.
func accountsFile(s *state, signing keys) (file, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "# Written by pulse provision, which writes it again: do not edit.\n\noperator: %s\nsystem_account: %s\n\nresolver: MEMORY\nresolver_preload: {\n",
		s.JWT, s.Accounts[systemAccount])
	claims := allAccountClaims(s)
	for _, name := range accountNames {
		token, err := encodeSignedClaims(claims[name], signing[operatorKey])
		if err != nil {
			return file{}, err
		}
		fmt.Fprintf(&b, "  # %s\n  %s: %s\n", name, s.Accounts[name], token)
	}
	b.WriteString("}\n")
	return file{accountsConf, []byte(b.String()), public}, nil
}

// serverURLs returns the URLs of the servers, as in <server_url>.
func (s *state) serverURLs() string {
	var list []string
	for _, host := range s.Hosts {
		list = append(list, "tls://"+net.JoinHostPort(host, strconv.Itoa(s.Port)))
	}
	return strings.Join(list, ",")
}

// nodeSettingsFile returns a settings file for a node, which is read with its pulse.conf.
func nodeSettingsFile(s *state, u *user, trusts bool) file {
	var tls strings.Builder
	if trusts {
		fmt.Fprintf(&tls, "\n    <tls_ca>%s/%s</tls_ca>", nodeHome, nodeCA)
	}
	if s.MutualTLS {
		fmt.Fprintf(&tls, "\n    <tls_cert>%s/%s</tls_cert>\n    <tls_key>%s/%s</tls_key>", nodeHome, nodeCert, nodeHome, nodeKey)
	}
	ocsf := ""
	if s.OCSF != "" {
		ocsf = fmt.Sprintf("\n    <ocsf_subject>%s</ocsf_subject>", s.OCSF)
	}
	return file{filepath.Join(u.dirPath(), nodeSettings), fmt.Appendf(nil, `<!-- The way to the NATS server of the operator %s: the directory above this one goes to %s.
     Pulse reads this file with pulse.conf, which is beside pulse.d. -->
<ossec_config>
  <nats>
    <server_url>%s</server_url>%s
    <credentials_file>%s/%s</credentials_file>%s
    <subject_prefix>%s</subject_prefix>%s
  </nats>
  <pulse>
    <node_name>%s</node_name>
  </pulse>
</ossec_config>
`, escapeXMLComment(s.Operator), nodeHome, s.serverURLs(), s.hubSettings(u.Name), nodeHome, nodeCreds, tls.String(), s.Prefix, ocsf, u.Name), public}
}

// escapeXMLComment returns a text without the characters that may not be in an XML comment.
func escapeXMLComment(s string) string {
	return strings.NewReplacer("-", "‐", "<", "‹", ">", "›").Replace(s)
}

func (s *state) certificateHosts() []string {
	list := slices.Clone(s.Hosts)
	for _, name := range localHosts {
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}
