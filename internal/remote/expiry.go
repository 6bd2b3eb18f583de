package remote

import (
	"crypto/x509"

	"github.com/wazuh-pulse/pulse/internal/expiry"
)

// Expiries returns what expires of a session's login and certificates: those of the client as they are in its files, and
// the server's as it was when the session began.
func (s *Session) Expiries() (items []expiry.Item) {
	a := s.attempt
	add := func(code, what string, certificates []*x509.Certificate) {
		if at := expiry.Earliest(certificates); !at.IsZero() {
			items = append(items, expiry.Item{Code: code, What: what, At: at})
		}
	}
	if !a.expires.IsZero() {
		items = append(items, expiry.Item{Code: "credentials_file", What: "the login of " + a.identity + " (<credentials_file>)", At: a.expires})
	}
	if a.cert != nil {
		add("tls_cert", "the client certificate (<tls_cert>)", parseChain(a.cert.Certificate))
	}
	if len(a.chain) > 0 {
		add("server_certificate", "the certificate of the NATS server "+a.endpoint.String()+", as it was at the login,", a.chain[:1])
		add("server_authority", "the authority that signed the NATS server's certificate (<tls_ca>)", a.chain[1:])
	}
	return items
}

func parseChain(chain [][]byte) (certificates []*x509.Certificate) {
	for _, der := range chain {
		if c, err := x509.ParseCertificate(der); err == nil {
			certificates = append(certificates, c)
		}
	}
	return certificates
}

// Expiries returns what expires of the present session, or of the last one; none before the first.
func (r *Remote) Expiries() []expiry.Item {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.expiries
}
