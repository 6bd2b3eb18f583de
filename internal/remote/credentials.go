package remote

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// maxFile is far above any credentials, and above the bundle of all the world's authorities.
const maxFile = 1 << 20

// file is one of a Config's, and the setting that names it.
type file struct {
	setting, path string
	secret        bool
}

// files are those that are set.
func (c *Config) files() (set []file) {
	for _, f := range []file{{"credentials_file", c.CredentialsFile, true}, {"nkey_file", c.NKeyFile, true},
		{"password_file", c.PasswordFile, true}, {"token_file", c.TokenFile, true},
		{"tls_ca", c.CA, false}, {"tls_cert", c.Cert, false}, {"tls_key", c.Key, true}} {
		if f.path != "" {
			set = append(set, f)
		}
	}
	return set
}

// fileSum tells one state of all files from another.
type fileSum [sha256.Size]byte

// material is what the files of a Config held at one time.
type material struct {
	sum     fileSum
	login   []nats.Option
	keys    nkeys.KeyPair    // nil without an NKey
	who     string           // as whom we log in, for people; "" for nobody
	expires time.Time        // of the credentials; zero for never
	roots   *x509.CertPool   // nil for the system's
	cert    *tls.Certificate // nil for none
}

// forget wipes what need not stay in memory once we are logged in.
func (m *material) forget() {
	if m.keys != nil {
		m.keys.Wipe()
	}
}

// readFiles returns the content of all files by setting.
func readFiles(cfg *Config) (map[string][]byte, fileSum, error) {
	texts, sum := map[string][]byte{}, sha256.New()
	for _, f := range cfg.files() {
		text, err := f.read()
		if err != nil {
			return nil, fileSum{}, badFile(f, err)
		}
		texts[f.setting] = text
		fmt.Fprintf(sum, "%s %d\n%s", f.setting, len(text), text)
	}
	return texts, fileSum(sum.Sum(nil)), nil
}

var (
	errNotFile = errors.New("not a regular file")
	errPublic  = errors.New("every user of this host may read or change it, and it holds a secret")
	errEmpty   = errors.New("it is empty")
)

func (f file) read() ([]byte, error) {
	in, err := os.OpenFile(f.path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // nonblocking: a pipe would make us wait
	if err != nil {
		return nil, bare(err)
	}
	defer in.Close()
	info, err := in.Stat()
	switch {
	case err != nil:
		return nil, bare(err)
	case !info.Mode().IsRegular():
		return nil, errNotFile
	case f.secret && info.Mode().Perm()&0o006 != 0:
		return nil, errPublic
	}
	text, err := io.ReadAll(io.LimitReader(in, maxFile+1))
	switch {
	case err != nil:
		return nil, bare(err)
	case len(text) > maxFile:
		return nil, errors.New("larger than 1 MiB")
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errEmpty
	}
	return text, nil
}

// bare takes the path off an error, which is told beside it.
func bare(err error) error {
	if number, ok := errors.AsType[syscall.Errno](err); ok {
		return number
	}
	return err
}

// loadMaterial reads the files and understands them.
func loadMaterial(cfg *Config) (*material, error) {
	texts, sum, err := readFiles(cfg)
	if err != nil {
		return nil, err
	}
	m := &material{sum: sum}
	for _, f := range cfg.files() {
		if err := m.take(f.setting, texts, cfg.User); err != nil {
			m.forget()
			return nil, badFile(f, err)
		}
	}
	return m, nil
}

// take understands one file. Its errors quote nothing of it.
func (m *material) take(setting string, texts map[string][]byte, user string) (err error) {
	text := texts[setting]
	switch setting {
	case "credentials_file":
		return m.takeCredentials(text)
	case "nkey_file":
		return m.takeNKey(text)
	case "password_file":
		m.who = fmt.Sprintf("user %q", user)
		m.login = append(m.login, nats.UserInfo(user, string(bytes.TrimRight(text, "\r\n"))))
	case "token_file":
		m.who = "the token"
		m.login = append(m.login, nats.Token(string(bytes.TrimSpace(text))))
	case "tls_ca":
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(text) {
			return errors.New("no certificate in PEM is in it")
		}
	case "tls_cert":
		return m.takeCertificate(text, texts["tls_key"])
	}
	return nil
}

func (m *material) takeCredentials(text []byte) (err error) {
	token, err := nkeys.ParseDecoratedJWT(text)
	if err != nil {
		return errors.New("no user JWT is in it")
	}
	claims, err := jwt.DecodeUserClaims(token)
	if err != nil {
		return errors.New("no user JWT is in it, or a damaged one")
	}
	if m.keys, err = nkeys.ParseDecoratedUserNKey(text); err != nil {
		return errors.New("the user's NKey seed is not in it")
	}
	if public, err := m.keys.PublicKey(); err != nil || public != claims.Subject {
		return errors.New("its seed is not that of its JWT")
	}
	account := claims.Issuer
	if claims.IssuerAccount != "" {
		account = claims.IssuerAccount
	}
	m.who = fmt.Sprintf("user %s (%s) of account %s", brief(claims.Name), claims.Subject, account)
	if claims.Expires > 0 {
		m.expires = time.Unix(claims.Expires, 0)
	}
	m.login = append(m.login, nats.UserJWT(func() (string, error) { return token, nil }, m.keys.Sign))
	return nil
}

func (m *material) takeNKey(text []byte) (err error) {
	if m.keys, err = nkeys.ParseDecoratedUserNKey(bytes.TrimSpace(text)); err != nil {
		return errors.New("no user's NKey seed (SU...) is in it")
	}
	public, err := m.keys.PublicKey()
	if err != nil {
		return errors.New("no user's NKey seed (SU...) is in it")
	}
	m.who = "NKey " + public
	m.login = append(m.login, nats.Nkey(public, m.keys.Sign))
	return nil
}

func (m *material) takeCertificate(cert, key []byte) error {
	if key == nil {
		return errors.New("its key is missing")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return fmt.Errorf("it and <tls_key> are no pair: %w", err)
	}
	m.cert = &pair
	return nil
}
