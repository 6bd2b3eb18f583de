package console

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/filewatch"
)

// How soon files are read that have changed: with their directory left alone for a
// moment, so that a certificate is not read with the key of another.
const (
	settleTime    = 300 * time.Millisecond
	maxSettleTime = 3 * time.Second
	checkPeriod   = time.Second // between two checks without an event
)

// reloadedFiles is a value read from files, which is read again when they change. If
// that fails, the value stays.
type reloadedFiles[T any] struct {
	paths []string
	read  func() (T, error)
	log   *slog.Logger
	value atomic.Pointer[T]

	mu    sync.Mutex
	stamp string // of the files when they were read last
}

func newReloadedFiles[T any](log *slog.Logger, read func() (T, error), paths ...string) (*reloadedFiles[T], error) {
	w := &reloadedFiles[T]{paths: paths, read: read, log: log}
	w.stamp = w.describeFileStates()
	value, err := read()
	w.value.Store(&value)
	return w, err
}

// describeFileStates returns the times and sizes of the files.
func (w *reloadedFiles[T]) describeFileStates() string {
	var b strings.Builder
	for _, path := range w.paths {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprint(&b, info.ModTime().UnixNano(), info.Size(), ";")
		}
	}
	return b.String()
}

// watchFiles reads the files when they have changed, until ctx ends.
func (w *reloadedFiles[T]) watchFiles(ctx context.Context) {
	cfg := filewatch.Config{Paths: w.paths, Beside: true, Settle: settleTime, SettleMax: maxSettleTime, Poll: checkPeriod}
	filewatch.Watch(ctx, cfg, func(filewatch.Change) time.Duration {
		w.readChanged()
		return 0
	})
}

func (w *reloadedFiles[T]) readChanged() {
	w.mu.Lock()
	defer w.mu.Unlock()
	stamp := w.describeFileStates()
	if stamp == w.stamp {
		return
	}
	w.stamp = stamp
	value, err := w.read()
	if err != nil {
		w.log.Warn("a file of the console has changed and does not work: what was read before stays", "err", err)
		return
	}
	w.value.Store(&value)
	w.log.Info("a file of the console has changed", "files", w.paths)
}

// minTokenLength is the shortest token: 20 characters are 100 bits and more, if
// they are random.
const minTokenLength = 20

// tokenFile is a token, kept as its digest.
type tokenFile struct {
	*reloadedFiles[[sha256.Size]byte]
}

func openTokenFile(path string, log *slog.Logger) (*tokenFile, error) {
	w, err := newReloadedFiles(log, func() ([sha256.Size]byte, error) { return readTokenDigest(path) }, path)
	return &tokenFile{w}, err
}

func readTokenDigest(path string) (digest [sha256.Size]byte, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return digest, fmt.Errorf("read the token (<pulse><http_token_file>): %w", err)
	}
	token := strings.TrimSpace(string(text))
	if len(token) < minTokenLength {
		return digest, fmt.Errorf("read the token (<pulse><http_token_file>): %s has %d characters, want %d or more: head -c 24 /dev/urandom | base64 makes a good one",
			path, len(token), minTokenLength)
	}
	return sha256.Sum256([]byte(token)), nil
}

// matchesToken compares in constant time.
func (s *tokenFile) matchesToken(token string) bool {
	have, want := sha256.Sum256([]byte(token)), *s.value.Load()
	return token != "" && subtle.ConstantTimeCompare(have[:], want[:]) == 1
}

type certificateFiles struct {
	*reloadedFiles[*tls.Certificate]
}

func openCertificateFiles(cert, key string, log *slog.Logger) (*certificateFiles, error) {
	w, err := newReloadedFiles(log, func() (*tls.Certificate, error) { return readCertificate(cert, key) }, cert, key)
	return &certificateFiles{w}, err
}

func readCertificate(cert, key string) (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("read the console's certificate (<pulse><http_cert>, <http_key>): %w", err)
	}
	return &pair, nil
}

// CheckFiles reads the token and the certificate, each "" for none, as a server of these does.
func CheckFiles(token, cert, key string) error {
	var tokenErr, certErr error
	if token != "" {
		_, tokenErr = readTokenDigest(token)
	}
	if cert != "" {
		_, certErr = readCertificate(cert, key)
	}
	return errors.Join(tokenErr, certErr)
}

func (c *certificateFiles) getCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := *c.value.Load(); pair != nil {
		return pair, nil
	}
	return nil, errors.New("no certificate")
}
