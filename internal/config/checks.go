package config

import (
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// logins are the settings that select a way to log in to <server_url>.
var logins = []string{pathCreds, pathNKey, pathUser, pathToken}

// checkServerLogin checks the settings of the login to <server_url> together.
func (ld *loader) checkServerLogin() {
	ld.checkSettingPair(pathUser, pathPassword)
	used := ld.loginsInUse()
	if len(used) > 1 {
		first, second := ld.loaded.origins[used[0]], ld.loaded.origins[used[1]]
		ld.errs.addProblem(&Error{second.file, second.line,
			fmt.Sprintf("<%s> beside <%s> (%v): two ways to log in", lookupSetting(used[1]).elementName(), lookupSetting(used[0]).elementName(), first), "keep one"})
	}
	n := &ld.loaded.NATS
	if len(used) == 0 || !n.Enabled || ld.failed[pathServerURL] {
		return
	}
	if n.ServerURL == "" {
		at, name := ld.loaded.origins[used[0]], lookupSetting(used[0]).elementName()
		ld.errs.addProblem(&Error{at.file, at.line, fmt.Sprintf("<%s> without <server_url>: the embedded server asks nobody for a login", name),
			fmt.Sprintf("set <server_url>, or remove <%s>", name)})
		return
	}
	ld.checkPlaintextLogin(lookupSetting(used[0]).elementName())
}

// loginsInUse returns the login settings that are set.
func (ld *loader) loginsInUse() (used []string) {
	for _, path := range logins {
		if lookupSetting(path).field(&ld.loaded.Config).String() != "" && !ld.failed[path] {
			used = append(used, path)
		}
	}
	return used
}

// checkPlaintextLogin refuses a login over an unencrypted connection to another host.
func (ld *loader) checkPlaintextLogin(login string) {
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
		ld.errs.addProblem(&Error{at.file, at.line,
			fmt.Sprintf("<server_url>: the login of <%s> would go to %s without encryption", login, quoteBrief(u.Host)),
			fmt.Sprintf("write %s://%s or set <tls_ca>; where the network itself is protected, <allow_plaintext>yes</allow_plaintext>", secure, quoteBrief(u.Host))})
		return
	}
}

// checkServerConfig refuses the configuration of a NATS server that this node itself does not use.
func (ld *loader) checkServerConfig() {
	n := &ld.loaded.NATS
	if n.ServerConfig == "" || n.ServerURL != "" || ld.failed[pathServerConfig] || ld.failed[pathServerURL] {
		return
	}
	at := ld.loaded.origins[pathServerConfig]
	ld.errs.addProblem(&Error{at.file, at.line, "<server_config> without <server_url>: this node would share nothing with the others",
		"set <server_url> to where that server listens, as pulse provision --hub does"})
}

// warnOfLoneCluster warns of a node of a cluster that shares nothing with the others.
func (ld *loader) warnOfLoneCluster() {
	l := ld.loaded
	if !l.Cluster.Enabled || len(l.Warnings) >= maxErrors || ld.failed[pathServerURL] {
		return
	}
	lacks, advice := "", "set <server_url> to the NATS server of all its nodes, as pulse provision --cluster does"
	switch {
	case !l.NATS.Enabled:
		lacks, advice = "with <nats><enabled>no</enabled></nats>", "set it to yes"
	case l.NATS.ServerURL == "":
		lacks = "without <server_url>"
	case !l.NATS.MessageSigning:
		lacks, advice = "without <message_signing>", "set <message_signing> to yes"
	default:
		return
	}
	at := l.origins[pathClusterEnabled]
	l.Warnings = append(l.Warnings, &Error{at.file, at.line, "<cluster><enabled> " + lacks + ": this node shares nothing with the others, and an agent that moves is lost", advice})
}

// checkJetStreamDomain refuses a domain for the embedded server, which has none.
func (ld *loader) checkJetStreamDomain() {
	n := &ld.loaded.NATS
	if n.JetStreamDomain == "" || n.ServerURL != "" || !n.Enabled || ld.failed[pathDomain] || ld.failed[pathServerURL] {
		return
	}
	at := ld.loaded.origins[pathDomain]
	ld.errs.addProblem(&Error{at.file, at.line, "<jetstream_domain> without <server_url>: the embedded server is of no domain",
		"set <server_url> to the leaf node, or remove <jetstream_domain>"})
}

// checkOCSFSubject refuses subjects of OCSF events that nobody would get, or whose readers would take them for messages.
func (ld *loader) checkOCSFSubject() {
	n := &ld.loaded.NATS
	if n.OCSFSubject == "" || !n.Enabled || ld.failed[pathOCSF] || ld.failed[pathServerURL] || ld.failed[pathPrefix] {
		return
	}
	at := ld.loaded.origins[pathOCSF]
	if n.ServerURL == "" {
		ld.errs.addProblem(&Error{at.file, at.line, "<ocsf_subject> without <server_url>: the embedded server has no stream for OCSF events",
			"set <server_url>, or remove <ocsf_subject>: pulse events --format ocsf prints them"})
	}
	if isBelow(n.OCSFSubject, n.SubjectPrefix) || isBelow(n.SubjectPrefix, n.OCSFSubject) {
		ld.errs.addProblem(&Error{at.file, at.line, "<ocsf_subject>: one of it and <subject_prefix> is within the other, and readers of each would get what they do not expect",
			"choose another, such as ocsf.wazuh"})
	}
}

// isBelow reports whether a subject is, or begins with, a prefix.
func isBelow(subject, prefix string) bool { return strings.HasPrefix(subject+".", prefix+".") }

// isLoopback reports whether a host is a loopback address or localhost. No other name is resolved.
func isLoopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && a.Unmap().IsLoopback()
}

// checkSettingPair refuses one of two settings without the other.
func (ld *loader) checkSettingPair(a, b string) {
	value := func(path string) string { return lookupSetting(path).field(&ld.loaded.Config).String() }
	if (value(a) == "") == (value(b) == "") || ld.failed[a] || ld.failed[b] {
		return
	}
	have, missing := a, b
	if value(a) == "" {
		have, missing = b, a
	}
	at := ld.loaded.origins[have]
	ld.errs.addProblem(&Error{at.file, at.line, fmt.Sprintf("<%s> without <%s>", lookupSetting(have).elementName(), lookupSetting(missing).elementName()), "set both or neither"})
}

// checkConsoleExposure refuses a console that other hosts reach without a token or without a certificate: its data are not
// public, and a token in plain text is no secret.
func (ld *loader) checkConsoleExposure() {
	ld.checkSettingPair(pathHTTPCert, pathHTTPKey)
	p := &ld.loaded.Pulse
	host, _, err := net.SplitHostPort(p.HTTP)
	if err != nil || isLoopback(host) || ld.failed[pathHTTP] {
		return
	}
	var missing []string
	for _, path := range []string{pathHTTPToken, pathHTTPCert, pathHTTPKey} {
		if ld.failed[path] {
			return
		}
		if lookupSetting(path).field(&ld.loaded.Config).String() == "" {
			missing = append(missing, "<"+lookupSetting(path).elementName()+">")
		}
	}
	if len(missing) == 0 {
		return
	}
	at := ld.loaded.origins[pathHTTP]
	ld.errs.addProblem(&Error{at.file, at.line, fmt.Sprintf("<http>%s</http>: other hosts reach it, which needs %s", quoteBrief(p.HTTP), strings.Join(missing, ", ")),
		"set them, or keep <http> on 127.0.0.1"})
}

// checkKeepAliveTimeout reports at the line of the timeout, or of the interval if that alone was written.
func (ld *loader) checkKeepAliveTimeout() {
	k := ld.loaded.KeepAlive
	if k.Timeout >= k.Interval || ld.failed[pathTimeout] || ld.failed[pathInterval] {
		return
	}
	at := ld.loaded.origins[pathTimeout]
	if at.file == "" {
		at = ld.loaded.origins[pathInterval]
	}
	ld.addTimeoutError(at, "", k.Timeout, k.Interval)
}

func (ld *loader) addTimeoutError(at origin, label string, timeout, interval time.Duration) {
	ld.errs.addProblem(&Error{at.file, at.line,
		fmt.Sprintf("%stimeout (%s) is below interval (%s): a live agent would be reported as disconnected", label, secondsWithUnit(timeout), secondsWithUnit(interval)),
		fmt.Sprintf("set <timeout> to at least %s, better %s", secondsWithUnit(interval), secondsWithUnit(3*interval))})
}
