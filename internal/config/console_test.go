package config

import (
	"strings"
	"testing"
)

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
