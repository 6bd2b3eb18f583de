package config

import (
	"fmt"
	"net"
	"strings"
)

// checkConsole refuses a console that other hosts reach and that has no token or no certificate: the fleet is nobody
// else's business, and a token in plain text is no secret.
func (ld *loader) checkConsole() {
	ld.checkPair(pathHTTPCert, pathHTTPKey)
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
		if lookup(path).field(&ld.loaded.Config).String() == "" {
			missing = append(missing, "<"+lookup(path).name()+">")
		}
	}
	if len(missing) == 0 {
		return
	}
	at := ld.loaded.origins[pathHTTP]
	ld.errs.add(&Error{at.file, at.line, fmt.Sprintf("<http>%s</http>: other hosts reach it, which needs %s", quote(p.HTTP), strings.Join(missing, ", ")),
		"set them, or keep <http> on 127.0.0.1"})
}
