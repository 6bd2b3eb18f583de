package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/rogpeppe/go-internal/testscript"
)

// xdrServer is a NATS server as an XDR platform has it: with TLS, a user
// "node01" who may publish below wazuh.xdr, and a user "xdr" who may read it.
func xdrServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 0 {
		ts.Fatalf("usage: xdr")
	}
	cert, authority, err := selfSigned()
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs("ca.crt"), authority, 0o644))
	for _, name := range []string{"node01", "xdr"} {
		ts.Check(os.WriteFile(ts.MkAbs(name+".password"), []byte("hunter2-"+name+"\n"), 0o600))
	}
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true,
		TLS: true, TLSTimeout: 10, AuthTimeout: 10, TLSConfig: &tls.Config{Certificates: []tls.Certificate{cert}},
		Users: []*server.User{
			{Username: "node01", Password: "hunter2-node01", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"wazuh.xdr.>", "$JS.API.>"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.node01.>"}}}},
			{Username: "xdr", Password: "hunter2-xdr", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Deny: []string{">"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"wazuh.xdr.>"}}}},
		}})
	ts.Check(err)
	srv.Start()
	ts.Defer(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		ts.Fatalf("the XDR platform's server is not ready")
	}
	ts.Setenv("XDR", srv.Addr().String())
}

// selfSigned is a certificate for 127.0.0.1 that is its own authority.
func selfSigned() (cert tls.Certificate, authority []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return cert, nil, err
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
