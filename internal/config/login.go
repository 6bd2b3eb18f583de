package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"strings"
)

// logins are the ways to log in to <server_url>, each by the setting that tells it.
var logins = []string{pathCreds, pathNKey, pathUser, pathToken}

func (ld *loader) checkTLSPair() { ld.checkPair(pathTLSCert, pathTLSKey) }

// checkLogin holds the settings of <nats> that have to do with logging in against each other.
func (ld *loader) checkLogin() {
	ld.checkPair(pathUser, pathPassword)
	used := ld.login()
	if len(used) > 1 {
		first, second := ld.loaded.origins[used[0]], ld.loaded.origins[used[1]]
		ld.errs.add(&Error{second.file, second.line,
			fmt.Sprintf("<%s> beside <%s> (%v): two ways to log in", lookup(used[1]).name(), lookup(used[0]).name(), first), "keep one"})
	}
	n := &ld.loaded.NATS
	if len(used) == 0 || !n.Enabled || ld.failed[pathServerURL] {
		return
	}
	if n.ServerURL == "" {
		at, name := ld.loaded.origins[used[0]], lookup(used[0]).name()
		ld.errs.add(&Error{at.file, at.line, fmt.Sprintf("<%s> without <server_url>: the embedded server asks nobody for a login", name),
			fmt.Sprintf("set <server_url>, or remove <%s>", name)})
		return
	}
	ld.checkPlaintext(lookup(used[0]).name())
}

// login returns the ways to log in that are set.
func (ld *loader) login() (used []string) {
	for _, path := range logins {
		if lookup(path).field(&ld.loaded.Config).String() != "" && !ld.failed[path] {
			used = append(used, path)
		}
	}
	return used
}

// checkPlaintext refuses to log in where others on the way could read along, or be the server.
func (ld *loader) checkPlaintext(login string) {
	n := &ld.loaded.NATS
	if n.AllowPlaintext || n.TLSCA != "" || n.TLSCert != "" || ld.failed["nats/allow_plaintext"] || ld.failed[pathTLSCA] || ld.failed[pathTLSCert] {
		return
	}
	for server := range strings.SplitSeq(n.ServerURL, ",") {
		u, err := url.Parse(server)
		if err != nil || u.Scheme == "tls" || u.Scheme == "wss" || isLoopback(u.Hostname()) {
			continue
		}
		secure := "tls"
		if u.Scheme == "ws" {
			secure = "wss"
		}
		at := ld.loaded.origins[pathServerURL]
		ld.errs.add(&Error{at.file, at.line,
			fmt.Sprintf("<server_url>: the login of <%s> would go to %s without encryption", login, quote(u.Host)),
			fmt.Sprintf("write %s://%s or set <tls_ca>; where the network itself is protected, <allow_plaintext>yes</allow_plaintext>", secure, quote(u.Host))})
		return
	}
}

// isLoopback takes no name's word for it but localhost's.
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.Unmap().IsLoopback()
}

// checkPair refuses one of two settings that go together.
func (ld *loader) checkPair(a, b string) {
	value := func(path string) string { return lookup(path).field(&ld.loaded.Config).String() }
	if (value(a) == "") == (value(b) == "") || ld.failed[a] || ld.failed[b] {
		return
	}
	have, missing := a, b
	if value(a) == "" {
		have, missing = b, a
	}
	at := ld.loaded.origins[have]
	ld.errs.add(&Error{at.file, at.line, fmt.Sprintf("<%s> without <%s>", lookup(have).name(), lookup(missing).name()), "set both or neither"})
}
