package console

import (
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
)

// lookAgain is how long a file is taken for what it was.
const lookAgain = time.Second

// watched is what was made of files, and is made anew when they change. When
// that fails, it stays what it was.
type watched[T any] struct {
	paths []string
	read  func() (T, error)
	log   *slog.Logger

	mu     sync.Mutex
	value  T
	stamp  string // of the files that were read, or tried
	looked time.Time
}

func newWatched[T any](log *slog.Logger, read func() (T, error), paths ...string) (*watched[T], error) {
	w := &watched[T]{paths: paths, read: read, log: log, looked: time.Now()}
	w.stamp = w.now()
	var err error
	w.value, err = read()
	return w, err
}

// now is what the files look like from outside.
func (w *watched[T]) now() string {
	var b strings.Builder
	for _, path := range w.paths {
		if info, err := os.Stat(path); err == nil {
			fmt.Fprint(&b, info.ModTime().UnixNano(), info.Size(), ";")
		}
	}
	return b.String()
}

func (w *watched[T]) get() T {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Since(w.looked) < lookAgain {
		return w.value
	}
	w.looked = time.Now()
	if stamp := w.now(); stamp != w.stamp {
		w.stamp = stamp
		if value, err := w.read(); err != nil {
			w.log.Warn("a file of the console has changed and does not work: what was read before stays", "err", err)
		} else {
			w.value = value
			w.log.Info("a file of the console has changed", "files", w.paths)
		}
	}
	return w.value
}

// tokenLeast is the shortest token: 20 characters are 100 bits and more, if
// they are random.
const tokenLeast = 20

// secret is a token, kept as its digest.
type secret struct {
	*watched[[sha256.Size]byte]
}

func readSecret(path string, log *slog.Logger) (*secret, error) {
	w, err := newWatched(log, func() (digest [sha256.Size]byte, err error) {
		text, err := os.ReadFile(path)
		if err != nil {
			return digest, fmt.Errorf("read the token (<pulse><http_token_file>): %w", err)
		}
		token := strings.TrimSpace(string(text))
		if len(token) < tokenLeast {
			return digest, fmt.Errorf("read the token (<pulse><http_token_file>): %s has %d characters, want %d or more: head -c 24 /dev/urandom | base64 makes a good one",
				path, len(token), tokenLeast)
		}
		return sha256.Sum256([]byte(token)), nil
	}, path)
	return &secret{w}, err
}

// matches takes as long for a wrong token as for a right one.
func (s *secret) matches(token string) bool {
	have, want := sha256.Sum256([]byte(token)), s.get()
	return token != "" && subtle.ConstantTimeCompare(have[:], want[:]) == 1
}

type certificate struct{ *watched[*tls.Certificate] }

func readCertificate(cert, key string, log *slog.Logger) (*certificate, error) {
	w, err := newWatched(log, func() (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("read the console's certificate (<pulse><http_cert>, <http_key>): %w", err)
		}
		return &pair, nil
	}, cert, key)
	return &certificate{w}, err
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if pair := c.watched.get(); pair != nil {
		return pair, nil
	}
	return nil, errors.New("no certificate")
}
