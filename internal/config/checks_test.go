package config

import (
	"strings"
	"testing"
)

func TestALoginThatNobodyCanReadAlongIsAccepted(t *testing.T) {
	const creds, plain = "<credentials_file>/c</credentials_file>", "<server_url>nats://xdr:4222</server_url>"
	for name, text := range map[string]string{
		"TLS by the scheme":      in("nats", "<server_url>tls://a,tls://b</server_url>", creds),
		"TLS by an authority":    in("nats", plain, "<tls_ca>/ca</tls_ca>", creds),
		"TLS by our certificate": in("nats", plain, "<tls_cert>/c</tls_cert>", "<tls_key>/k</tls_key>", creds),
		"this host":              in("nats", "<server_url>nats://localhost,nats://127.0.0.2,nats://[::1]:4222</server_url>", creds),
		"plain text on purpose":  in("nats", plain, creds, "<allow_plaintext>yes</allow_plaintext>"),
		"no login at all":        in("nats", plain),
		"NATS switched off":      in("nats", plain, creds, "<enabled>no</enabled>"),
	} {
		if _, err := read(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestAJetStreamDomainIsOneWordAndThatOfAServerElsewhere(t *testing.T) {
	const url = "<server_url>nats://127.0.0.1</server_url>"
	for value, want := range map[string]string{"hub": "", "": "", "hub.1": "has a dot", "*": "has a wildcard", "a b": "has a space"} {
		l, err := read(in("nats", url, "<jetstream_domain>"+value+"</jetstream_domain>"))
		if want == "" && (err != nil || l.NATS.JetStreamDomain != value) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", value, err)
		}
	}
	if _, err := read(in("nats", "<jetstream_domain>hub</jetstream_domain>")); err == nil || !strings.Contains(err.Error(), "<jetstream_domain> without <server_url>") {
		t.Errorf("%v", err)
	}
}

func TestOCSFEventsHaveSubjectsOfTheirOwnOnAServerElsewhere(t *testing.T) {
	const url = "<server_url>nats://127.0.0.1</server_url>"
	for _, tt := range []struct{ elements, want string }{
		{url + "<ocsf_subject>ocsf.wazuh</ocsf_subject>", ""},
		{url + "<ocsf_subject>wazuh</ocsf_subject>", "is within the other"},
		{url + "<ocsf_subject>wazuh.xdr</ocsf_subject>", "is within the other"},
		{url + "<ocsf_subject>wazuh.xdr.ocsf</ocsf_subject>", "is within the other"},
		{url + "<ocsf_subject>wazuh.xdrocsf</ocsf_subject>", ""},
		{url + "<ocsf_subject>ocsf.&gt;</ocsf_subject>", "wildcard"},
		{"<ocsf_subject>ocsf</ocsf_subject>", "<ocsf_subject> without <server_url>"},
	} {
		_, err := read(in("nats", tt.elements))
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.elements, err)
		}
	}
}

func TestWhatTheCommandLineSaysCountsMost(t *testing.T) {
	path := write(t, in("nats", "<server_url>tls://file</server_url>", "<nkey_file>/n</nkey_file>"))
	l, err := LoadWith([]Override{{"nats/server_url", "tls://flag", "--server"}, {"nats/nkey_file", "", "--server"},
		{"nats/token_file", "/t", "--token-file"}}, path)
	if err != nil {
		t.Fatal(err)
	}
	if n := l.NATS; n.ServerURL != "tls://flag" || n.NKeyFile != "" || n.TokenFile != "/t" {
		t.Errorf("got %+v", n)
	}
	if got := source(l, pathServerURL); got != "--server" {
		t.Errorf("the server came from %s", got)
	}
}

func TestAMistakeOnTheCommandLineNamesItsFlag(t *testing.T) {
	path := write(t, in("nats", "<server_url>tls://file</server_url>", "<nkey_file>/n</nkey_file>"))
	for want, o := range map[string]Override{
		"--server: the URL does not start with nats://, tls://, ws:// or wss://; " +
			"want nats://HOST:PORT (or tls, ws, wss), several separated by commas, or nothing (default empty)": {"nats/server_url", "http://u:hunter2@h", "--server"},
		"--token-file: <token_file> beside <nkey_file> (" + path + ":4): two ways to log in; keep one": {"nats/token_file", "/t", "--token-file"},
	} {
		if _, err := LoadWith([]Override{o}, path); err == nil || err.Error() != want {
			t.Errorf("\n got %v\nwant %s", err, want)
		}
	}
}

func TestAConsoleThatOthersReachNeedsATokenAndACertificate(t *testing.T) {
	const token, cert, key = "<http_token_file>/t</http_token_file>", "<http_cert>/c</http_cert>", "<http_key>/k</http_key>"
	for _, c := range []struct {
		name, text, want string
	}{
		{"loopback", in("pulse", "<http>127.0.0.1:8420</http>"), ""},
		{"another address of loopback", in("pulse", "<http>127.0.0.9:8420</http>"), ""},
		{"loopback of IPv6", in("pulse", "<http>[::1]:8420</http>"), ""},
		{"loopback by its name", in("pulse", "<http>localhost:8420</http>"), ""},
		{"none", in("pulse", "<http></http>"), ""},
		{"loopback with a token", in("pulse", token), ""},
		{"others, with all", in("pulse", "<http>10.0.0.5:8420</http>", token, cert, key), ""},
		{"all addresses", in("pulse", "<http>0.0.0.0:8420</http>"), "other hosts reach it, which needs <http_token_file>, <http_cert>, <http_key>; set them, or keep <http> on 127.0.0.1"},
		{"a name", in("pulse", "<http>pulse.example:8420</http>", token), "which needs <http_cert>, <http_key>;"},
		{"no token", in("pulse", "<http>10.0.0.5:8420</http>", cert, key), "which needs <http_token_file>;"},
		{"half a pair", in("pulse", cert), "<http_cert> without <http_key>"},
		{"a relative path", in("pulse", "<http_token_file>t</http_token_file>"), "want an absolute path"},
	} {
		_, err := read(c.text)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
