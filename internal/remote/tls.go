package remote

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// tlsConfig returns the configuration for this attempt; the client library
// adds the server's name, against which its certificate is checked.
func (a *attempt) tlsConfig() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		RootCAs:    a.roots,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			a.asked = true
			if a.cert == nil {
				return new(tls.Certificate), nil
			}
			return a.cert, nil
		},
		VerifyConnection: func(state tls.ConnectionState) error {
			a.handshaken = true
			if len(state.VerifiedChains) > 0 {
				a.chain = state.VerifiedChains[0]
			}
			return nil
		},
	}
}

// diagnoseTLS recognizes failures of TLS, on our side and on the server's.
func (a *attempt) diagnoseTLS(err error) *Failure {
	if f := a.diagnoseCertificate(err); f != nil {
		return f
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return a.diagnoseTLSAlert(op.Err)
	}
	text := err.Error()
	switch _, plain := errors.AsType[tls.RecordHeaderError](err); {
	case plain:
		return a.newFailure(NoTLS, "the server speaks no TLS", noTLSHint, err)
	case strings.Contains(text, "unsupported protocol version"):
		return a.newFailure(OldTLS, "the server speaks no TLS 1.2 or newer", "let the server speak TLS 1.2 or 1.3", err)
	}
	return nil
}

const noTLSHint = "configure TLS on the server; where the network itself is protected, write nats:// in <server_url>, remove the tls_ elements and set <allow_plaintext>"

// diagnoseCertificate recognizes our own refusal of the server's certificate.
func (a *attempt) diagnoseCertificate(err error) *Failure {
	after := ""
	if !a.secure {
		after = " (the server requires TLS)"
	}
	if e, ok := errors.AsType[x509.HostnameError](err); ok {
		return a.newFailure(WrongHost, fmt.Sprintf("the server's certificate is for %s, not for %s%s", describeCertificateHosts(e.Certificate), e.Host, after),
			"name the server in <server_url> as its certificate does, or give it a certificate for that name", err)
	}
	if e, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		hint := "set <tls_ca> to the certificate of the authority that signed it"
		if a.cfg.CA != "" {
			hint = "put the certificate of the authority that signed it into <tls_ca>" + a.cfg.CA + "</tls_ca>"
		}
		return a.newFailure(UnknownAuthority, fmt.Sprintf("the server's certificate is signed by an authority we do not know, %s%s%s", issuerOf(e.Cert), explainAuthorityMismatch(e), after), hint, err)
	}
	if e, ok := errors.AsType[x509.CertificateInvalidError](err); ok && e.Reason == x509.Expired {
		return a.newExpiredCertificateFailure(e.Cert, after, err)
	}
	if e, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return a.newFailure(BadCertificate, "the server's certificate cannot be used: "+quoteBrief(e.Err.Error())+after, "give the server another certificate", err)
	}
	return nil
}

// newExpiredCertificateFailure returns the failure for the server's certificate, or for
// one in its chain.
func (a *attempt) newExpiredCertificateFailure(c *x509.Certificate, after string, err error) *Failure {
	whose, hint := "the server's certificate", "renew the certificate on the server, or correct this host's clock"
	if c.IsCA {
		whose, hint = "the certificate of an authority of the server's, "+quoteBrief(c.Subject.String())+",", "renew that: in <tls_ca> if it is there, else on the server"
	}
	when := "expired on " + c.NotAfter.UTC().Format(time.RFC3339)
	if time.Now().Before(c.NotBefore) {
		when = "is not valid before " + c.NotBefore.UTC().Format(time.RFC3339)
	}
	return a.newFailure(Expired, whose+" "+when+after, hint, err)
}

// explainAuthorityMismatch returns why a known authority of the same name does not
// match.
func explainAuthorityMismatch(e x509.UnknownAuthorityError) string {
	_, why, found := strings.Cut(e.Error(), "(possibly because of ")
	if !found {
		return ""
	}
	return " (" + strings.Trim(quoteBrief(why), `"`)
}

// Alerts of TLS (RFC 8446 section 6.2) with which a server refuses our certificate.
const (
	alertHandshake   tls.AlertError = 40
	alertVersion     tls.AlertError = 70
	alertWantsOne    tls.AlertError = 116
	firstOfOurs      tls.AlertError = 42 // bad_certificate, unsupported, revoked, expired, unknown
	lastOfOurs       tls.AlertError = 49 // unknown_ca, access_denied
	illegalParameter tls.AlertError = 47
)

// diagnoseTLSAlert recognizes the server's refusal of our side. Its alert is
// known by its text only.
func (a *attempt) diagnoseTLSAlert(alert error) *Failure {
	is := func(e tls.AlertError) bool { return alert.Error() == e.Error() }
	ours := is(alertWantsOne)
	for e := firstOfOurs; e <= lastOfOurs; e++ {
		ours = ours || is(e) && e != illegalParameter
	}
	switch {
	case is(alertVersion):
		return a.newFailure(OldTLS, "the server speaks no TLS 1.2 or newer", "let the server speak TLS 1.2 or 1.3", alert)
	case a.cert == nil && (ours || is(alertHandshake) && a.asked):
		return a.wantsCertificate(alert)
	case ours:
		return a.refusesCertificate(alert)
	}
	return a.newFailure(Other, "the server ended the TLS handshake: "+alert.Error(), "look into the server's log", alert)
}

func (a *attempt) wantsCertificate(err error) *Failure {
	return a.newFailure(WantsCertificate, "the server wants a client certificate, and we have none", "set <tls_cert> and <tls_key>", err)
}

func (a *attempt) refusesCertificate(err error) *Failure {
	what, hint := "the server refuses our client certificate", "have <tls_cert> signed by an authority that the server knows"
	if op := err.Error(); strings.HasPrefix(op, "tls: ") {
		what += " (" + strings.TrimPrefix(op, "tls: ") + ")"
	}
	if leaf := a.cert.Leaf; leaf != nil && time.Now().After(leaf.NotAfter) {
		what = "the server refuses our client certificate, which expired on " + leaf.NotAfter.UTC().Format(time.RFC3339)
		hint = "renew <tls_cert>" + a.cfg.Cert + "</tls_cert>"
	}
	return a.newFailure(CertificateTaken, what, hint, err)
}

// describeCertificateHosts returns the hosts that a certificate is for, as far as they fit into
// a line of the log.
func describeCertificateHosts(c *x509.Certificate) string {
	names := slices.Clone(c.DNSNames)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		return "no host by name"
	}
	more := ""
	if len(names) > 4 {
		names, more = names[:4], " and others"
	}
	for i := range names {
		names[i] = strings.Trim(quoteBrief(names[i]), `"`)
	}
	return strings.Join(names, ", ") + more
}

func issuerOf(c *x509.Certificate) string {
	if c == nil {
		return "of no name"
	}
	return quoteBrief(c.Issuer.String())
}
