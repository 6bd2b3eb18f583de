package remote

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
)

// endpoint is one of the server URLs.
type endpoint struct {
	url    *url.URL
	secure bool // TLS is required, whether the server requires it or not
}

// String returns the URL, which holds no secret.
func (e endpoint) String() string { return e.url.String() }

func (e endpoint) websocket() bool { return e.url.Scheme == "ws" || e.url.Scheme == "wss" }

// parseServers parses the URLs. Its errors neither quote nor wrap a URL: it
// may hold a password.
func parseServers(cfg *Config) (servers []endpoint, err error) {
	for part := range strings.SplitSeq(cfg.URL, ",") {
		part = strings.TrimSpace(part)
		if !strings.Contains(part, "://") {
			part = "nats://" + part
		}
		u, err := url.Parse(part)
		if err != nil || u.Hostname() == "" {
			return nil, errors.New("NATS server URL: want nats://host:port or tls://host:port")
		}
		if u.User != nil {
			return nil, fmt.Errorf("NATS server URL: it has a user or a password in it; secrets come from files only")
		}
		if u.Port() == "" && (u.Scheme == "nats" || u.Scheme == "tls") {
			u.Host = net.JoinHostPort(u.Hostname(), "4222")
		}
		secure := u.Scheme == "tls" || u.Scheme == "wss" || cfg.CA != "" || cfg.Cert != ""
		servers = append(servers, endpoint{u, secure})
	}
	return servers, nil
}
