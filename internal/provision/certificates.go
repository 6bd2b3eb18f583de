package provision

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/wazuh-pulse/pulse/internal/hint"
)

const (
	authorityYears   = 10
	certificateYears = 2
)

var (
	authorityKey  = filepath.Join(privateDir, "ca.key")
	authorityCert = filepath.Join(privateDir, "ca.crt")
)

// authority signs certificates, for this setup alone.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte // of cert
}

// localHosts are the hosts that a server's certificate is also valid for, for clients on
// the server's own host.
var localHosts = []string{"localhost", "127.0.0.1", "::1"}

func newAuthority(operator string) (*authority, []file, error) {
	key, keyPEM, err := newCertKey()
	if err != nil {
		return nil, nil, fmt.Errorf("make the authority: %w", err)
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "Pulse NATS of " + operator}, IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign}
	der, err := signCertificate(template, template, key.Public(), key, authorityYears)
	if err != nil {
		return nil, nil, fmt.Errorf("make the authority: %w", err)
	}
	a := &authority{key: key, pem: encodePEM("CERTIFICATE", der)}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return nil, nil, fmt.Errorf("make the authority: %w", err)
	}
	return a, []file{{authorityKey, keyPEM, secret}, {authorityCert, a.pem, public}}, nil
}

// loadAuthority reads the authority's files.
func loadAuthority(dir string) (*authority, error) {
	cert, err := os.ReadFile(filepath.Join(dir, authorityCert))
	if err != nil {
		return nil, err
	}
	key, err := os.ReadFile(filepath.Join(dir, authorityKey))
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, hint.Add(fmt.Errorf("%s and %s are no pair", filepath.Join(dir, authorityCert), filepath.Join(dir, authorityKey)), "restore both from one backup")
	}
	private, ok := pair.PrivateKey.(*ecdsa.PrivateKey)
	if !ok {
		return nil, hint.Add(fmt.Errorf("%s is no ECDSA key", filepath.Join(dir, authorityKey)), "restore it from a backup")
	}
	return &authority{cert: pair.Leaf, key: private, pem: cert}, nil
}

// issueCertificate makes a certificate and its key: a server's for hosts, or a client's if there are none.
func (a *authority) issueCertificate(name string, hosts []string) (cert, key []byte, err error) {
	private, key, err := newCertKey()
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if len(hosts) > 0 { // servers of a cluster are each other's clients
		template.ExtKeyUsage = append(template.ExtKeyUsage, x509.ExtKeyUsageServerAuth)
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := signCertificate(template, a.cert, private.Public(), a.key, certificateYears)
	if err != nil {
		return nil, nil, fmt.Errorf("make the certificate of %s: %w", name, err)
	}
	return encodePEM("CERTIFICATE", der), key, nil
}

func newCertKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	return key, encodePEM("PRIVATE KEY", der), err
}

func signCertificate(template, by *x509.Certificate, public any, key *ecdsa.PrivateKey, years int) (der []byte, err error) {
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)); err != nil {
		return nil, err
	}
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.AddDate(years, 0, 0) // clocks may differ
	return x509.CreateCertificate(rand.Reader, template, by, public, key)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// TLSFiles are the user's own certificate for the server, in PEM.
type TLSFiles struct {
	Cert, Key string
	CA        string // the authority that clients are to trust; "" for the systems' own
}

// readForHost checks that the certificate is one for host.
func (t *TLSFiles) readForHost(host string) (cert, key, ca []byte, err error) {
	if cert, err = os.ReadFile(t.Cert); err != nil {
		return nil, nil, nil, err
	}
	if key, err = os.ReadFile(t.Key); err != nil {
		return nil, nil, nil, err
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("%s and %s are no pair: %w", t.Cert, t.Key, err)
	}
	if err := pair.Leaf.VerifyHostname(host); err != nil {
		return nil, nil, nil, hint.Add(fmt.Errorf("%s: %w", t.Cert, err), "name the server with --host as its certificate does")
	}
	if t.CA == "" {
		return cert, key, nil, nil
	}
	if ca, err = os.ReadFile(t.CA); err != nil {
		return nil, nil, nil, err
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM(ca) {
		return nil, nil, nil, errors.New(t.CA + ": no certificate in PEM is in it")
	}
	between.AppendCertsFromPEM(cert)
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: host}); err != nil {
		return nil, nil, nil, fmt.Errorf("%s is not signed by %s: %w", t.Cert, t.CA, err)
	}
	return cert, key, ca, nil
}

// privateDir has the keys that sign credentials and certificates.
const privateDir = "private"

func keyFilePath(name string) string { return filepath.Join(privateDir, name+".nk") }

const operatorKey = "operator"

// keys are the signing keys, by the name of the account, or operatorKey.
type keys map[string]nkeys.KeyPair

// newKeys makes all keys, and adds the public ones to the state.
func newKeys(s *state) (keys, []file, error) {
	all, files := make(keys), []file(nil)
	s.Accounts = make(map[string]string)
	for _, name := range append([]string{operatorKey}, accountNames...) {
		create := nkeys.CreateAccount
		if name == operatorKey {
			create = nkeys.CreateOperator
		}
		pair, err := create()
		var seed []byte
		var key string
		if err == nil {
			seed, err = pair.Seed()
		}
		if err == nil {
			key, err = pair.PublicKey()
		}
		if err != nil {
			return nil, nil, fmt.Errorf("make the key of %s: %w", name, err)
		}
		if name == operatorKey {
			s.Key = key
		} else {
			s.Accounts[name] = key
		}
		all[name], files = pair, append(files, file{keyFilePath(name), append(seed, '\n'), secret})
	}
	return all, files, nil
}

func loadMatchingKeys(dir string, s *state) (keys, error) {
	all := make(keys)
	for _, name := range append([]string{operatorKey}, accountNames...) {
		path, want := filepath.Join(dir, keyFilePath(name)), s.Accounts[name]
		if name == operatorKey {
			want = s.Key
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, hint.Add(fmt.Errorf("%s does not exist", path), fmt.Sprintf("restore %s from where it is kept", filepath.Join(dir, privateDir)))
		} else if err != nil {
			return nil, err
		}
		pair, err := nkeys.FromSeed(bytes.TrimSpace(text))
		if err != nil {
			return nil, hint.Add(fmt.Errorf("%s holds no seed of a key", path), "restore it from a backup")
		}
		if key, err := pair.PublicKey(); err != nil || key != want {
			return nil, hint.Add(fmt.Errorf("%s is the key of another setup than that of %s", path, filepath.Join(dir, stateFile)), "restore both from one backup")
		}
		all[name] = pair
	}
	return all, nil
}
