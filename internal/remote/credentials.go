package remote

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/wazuh-pulse/pulse/internal/filewatch"
	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// maxUserName bounds a user's name in texts.
const maxUserName = 64

// file is a file of a [Config], and the setting that names it.
type file struct {
	setting, path string
	secret        bool
}

func (c *Config) listCredentialFiles() (set []file) {
	for _, f := range []file{{"credentials_file", c.CredentialsFile, true}, {"nkey_file", c.NKeyFile, true},
		{"password_file", c.PasswordFile, true}, {"token_file", c.TokenFile, true},
		{"tls_ca", c.CA, false}, {"tls_cert", c.Cert, false}, {"tls_key", c.Key, true}} {
		if f.path != "" {
			set = append(set, f)
		}
	}
	return set
}

// fileSum identifies the contents of all files.
type fileSum [sha256.Size]byte

// loginFiles is what the files of a Config contained at one time.
type loginFiles struct {
	sum      fileSum
	login    []nats.Option
	keys     nkeys.KeyPair    // nil without an NKey
	identity string           // of the login, as text; "" without one
	user     string           // the user's name in it; "" if it has none
	expires  time.Time        // when the credentials expire; zero for never
	roots    *x509.CertPool   // nil for the system's
	cert     *tls.Certificate // nil for none
}

// wipeKeys removes the keys from memory. They are not needed after the login.
func (m *loginFiles) wipeKeys() {
	if m.keys != nil {
		m.keys.Wipe()
	}
}

// readCredentialFiles returns the contents of all files by setting.
func readCredentialFiles(cfg *Config) (map[string][]byte, fileSum, error) {
	texts, sum := map[string][]byte{}, sha256.New()
	for _, f := range cfg.listCredentialFiles() {
		text, err := f.readFile()
		if err != nil {
			return nil, fileSum{}, newFileFailure(f, err)
		}
		texts[f.setting] = text
		fmt.Fprintf(sum, "%s %d\n%s", f.setting, len(text), text)
	}
	return texts, fileSum(sum.Sum(nil)), nil
}

var errEmpty = errors.New("it is empty")

func (f file) readFile() ([]byte, error) {
	access := keyfile.Public
	if f.secret {
		access = keyfile.Shared
	}
	text, err := keyfile.ReadAll(f.path, access)
	if err == nil && len(bytes.TrimSpace(text)) == 0 {
		err = errEmpty
	}
	return text, err
}

// loadLoginFiles reads and parses the files.
func loadLoginFiles(cfg *Config) (*loginFiles, error) {
	texts, sum, err := readCredentialFiles(cfg)
	if err != nil {
		return nil, err
	}
	m := &loginFiles{sum: sum}
	for _, f := range cfg.listCredentialFiles() {
		if err := m.parseLoginFile(f.setting, texts, cfg.User); err != nil {
			m.wipeKeys()
			return nil, newFileFailure(f, err)
		}
	}
	return m, nil
}

// parseLoginFile parses one file. Its errors quote nothing of it.
func (m *loginFiles) parseLoginFile(setting string, texts map[string][]byte, user string) (err error) {
	text := texts[setting]
	switch setting {
	case "credentials_file":
		return m.parseCredsFile(text)
	case "nkey_file":
		return m.parseNKey(text)
	case "password_file":
		m.identity, m.user = fmt.Sprintf("user %q", user), user
		m.login = append(m.login, nats.UserInfo(user, string(bytes.TrimRight(text, "\r\n"))))
	case "token_file":
		m.identity = "the token"
		m.login = append(m.login, nats.Token(string(bytes.TrimSpace(text))))
	case "tls_ca":
		m.roots = x509.NewCertPool()
		if !m.roots.AppendCertsFromPEM(text) {
			return errors.New("no certificate in PEM is in it")
		}
	case "tls_cert":
		return m.parseClientCertificate(text, texts["tls_key"])
	}
	return nil
}

func (m *loginFiles) parseCredsFile(text []byte) (err error) {
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
	m.identity, m.user = fmt.Sprintf("user %s (%s) of account %s", quoteBrief(claims.Name), claims.Subject, account), printable.Brief(claims.Name, maxUserName)
	if claims.Expires > 0 {
		m.expires = time.Unix(claims.Expires, 0)
	}
	m.login = append(m.login, nats.UserJWT(func() (string, error) { return token, nil }, m.keys.Sign))
	return nil
}

func (m *loginFiles) parseNKey(text []byte) (err error) {
	if m.keys, err = nkeys.ParseDecoratedUserNKey(bytes.TrimSpace(text)); err != nil {
		return errors.New("no user's NKey seed (SU...) is in it")
	}
	public, err := m.keys.PublicKey()
	if err != nil {
		return errors.New("no user's NKey seed (SU...) is in it")
	}
	m.identity = "NKey " + public
	m.login = append(m.login, nats.Nkey(public, m.keys.Sign))
	return nil
}

func (m *loginFiles) parseClientCertificate(cert, key []byte) error {
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

const (
	// settleTime is how long the files must not change before they are used: a
	// certificate and its key are seldom replaced in one step.
	settleTime = 300 * time.Millisecond

	// maxSettleTime bounds that wait in a directory that changes all the time.
	maxSettleTime = 3 * time.Second

	// pollPeriod is how often the files are checked besides, for changes that
	// inotify does not report: behind a symbolic link or on a network file
	// system.
	pollPeriod = 10 * time.Second
)

// watchCredentialFiles requests a reload when the files may have changed. A change beside them
// counts: in a container, a link there is replaced.
func (r *Remote) watchCredentialFiles(ctx context.Context, files []file) {
	cfg := filewatch.Config{Beside: true, Settle: settleTime, SettleMax: maxSettleTime, Poll: pollPeriod, Failed: func(err error) {
		r.log.Warn("cannot watch the files of the NATS login: looking at them from time to time", "every", pollPeriod, "err", err)
	}}
	for _, f := range files {
		cfg.Paths = append(cfg.Paths, f.path)
	}
	filewatch.Watch(ctx, cfg, func(filewatch.Change) time.Duration {
		r.reload.Send()
		return 0
	})
}
