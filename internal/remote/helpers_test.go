package remote

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// testTimeout is for what takes no time but on a loaded machine.
const testTimeout = time.Minute

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// writeFile replaces a file in one step, as whoever rotates certificates should.
func writeFile(t testing.TB, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		t.Fatal(err)
	}
}

func secretFile(t testing.TB, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	writeFile(t, path, []byte(text))
	return path
}

// start starts a NATS server on a TCP port of its own.
func start(t testing.TB, setup ...func(*server.Options)) *server.Server {
	t.Helper()
	srv, err := server.NewServer(options(server.RANDOM_PORT, setup))
	if err != nil {
		t.Fatal(err)
	}
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(20 * time.Second) {
		t.Fatal("the server is not ready")
	}
	return srv
}

func options(port int, setup []func(*server.Options)) *server.Options {
	opts := &server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true, AuthTimeout: 10}
	for _, f := range setup {
		f(opts)
	}
	return opts
}

// reload gives a running server other options.
func reload(t testing.TB, s *server.Server, setup ...func(*server.Options)) {
	t.Helper()
	port := s.Addr().(*net.TCPAddr).Port
	if err := s.ReloadOptions(options(port, setup)); err != nil {
		t.Fatal(err)
	}
}

func addr(s *server.Server) string { return s.Addr().String() }

// testOperator is an operator with an account, as a server with credentials has it.
type testOperator struct {
	operator, account nkeys.KeyPair
	resolver          *server.MemAccResolver
}

func newTestOperator(t testing.TB) *testOperator {
	t.Helper()
	return &testOperator{newPair(t, nkeys.CreateOperator), newPair(t, nkeys.CreateAccount), new(server.MemAccResolver)}
}

func newPair(t testing.TB, create func() (nkeys.KeyPair, error)) nkeys.KeyPair {
	t.Helper()
	kp, err := create()
	if err != nil {
		t.Fatal(err)
	}
	return kp
}

func public(t testing.TB, kp nkeys.KeyPair) string {
	t.Helper()
	key, err := kp.PublicKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (r *testOperator) setup(t testing.TB, change ...func(*jwt.AccountClaims)) func(*server.Options) {
	t.Helper()
	claims := jwt.NewAccountClaims(public(t, r.account))
	claims.Name = "xdr"
	for _, f := range change {
		f(claims)
	}
	token, err := claims.Encode(r.operator)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.resolver.Store(claims.Subject, token); err != nil {
		t.Fatal(err)
	}
	return func(o *server.Options) {
		o.TrustedKeys, o.AccountResolver = []string{public(t, r.operator)}, r.resolver
	}
}

// user makes credentials, and returns their file, the user's key and the secrets in them.
func (r *testOperator) user(t testing.TB, account nkeys.KeyPair, change func(*jwt.UserClaims)) (file, key string, secrets []string) {
	t.Helper()
	kp := newPair(t, nkeys.CreateUser)
	claims := jwt.NewUserClaims(public(t, kp))
	claims.Name = "node01"
	if change != nil {
		change(claims)
	}
	token, err := claims.Encode(account)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := kp.Seed()
	if err != nil {
		t.Fatal(err)
	}
	text, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	return secretFile(t, string(text)), claims.Subject, []string{string(seed), token}
}

// revoke pushes an account without the user.
func (r *testOperator) revoke(t testing.TB, srv *server.Server, user string) {
	t.Helper()
	claims := jwt.NewAccountClaims(public(t, r.account))
	claims.Revoke(user)
	token, err := claims.Encode(r.operator)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.resolver.Store(claims.Subject, token); err != nil {
		t.Fatal(err)
	}
	account, err := srv.LookupAccount(claims.Subject)
	if err != nil {
		t.Fatal(err)
	}
	srv.UpdateAccountClaims(account, claims)
}

// open opens a remote that tries often, and returns its log.
func open(t testing.TB, cfg Config) (*Remote, *testLog) {
	t.Helper()
	book := newTestLog()
	cfg.Log = slog.New(slog.NewTextHandler(book, nil))
	if cfg.MaxReconnects == 0 {
		cfg.MaxReconnects = 3
	}
	if cfg.ReconnectDelay == 0 {
		cfg.ReconnectDelay = 10 * time.Millisecond
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 10 * time.Second
	}
	r, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r, book
}

func session(t testing.TB, r *Remote, book *testLog) *Session {
	t.Helper()
	s, err := r.Session(testContext(t))
	if err != nil {
		t.Fatalf("no session: %v\n%s", err, book)
	}
	return s
}

// testLog is a log to wait for and to examine.
type testLog struct{ testsupport.Log }

func newTestLog() *testLog { return new(testLog) }

func (b *testLog) count(words string) (n int) {
	for line := range strings.Lines(b.String()) {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

// checkHoldsNone fails the test for each secret in the log.
func (b *testLog) checkHoldsNone(t testing.TB, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(b.String(), secret) {
			t.Errorf("the log tells a secret, %s:\n%s", fmt.Sprintf("%.4s...", secret), b)
		}
	}
}
