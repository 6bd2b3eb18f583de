package republisher

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/wazuh-pulse/pulse/internal/keyfile"
)

// idSigner makes the IDs of events. They end with a code that only this node can make, so
// that nobody can make a stream drop an event as a duplicate, and are the same again when an
// event is sent again after a crash.
type idSigner struct{ secret []byte }

const secretBytes = 32

// openIDSigner reads the secret, and makes it if it is not there. One that cannot be written
// is for this run.
func openIDSigner(path string) (s idSigner, err error) {
	text, err := keyfile.Read(path, keyfile.Private)
	if errors.Is(err, fs.ErrNotExist) {
		s.secret = make([]byte, secretBytes)
		_, _ = rand.Read(s.secret) // never fails
		_ = keyfile.Write(path, []byte(hex.EncodeToString(s.secret)), 0o600, true)
		return s, nil
	}
	if err != nil {
		return s, err
	}
	s.secret = make([]byte, secretBytes)
	if n, err := hex.Decode(s.secret, text[:min(len(text), 2*secretBytes)]); err != nil || n != secretBytes || len(text) != 2*secretBytes {
		return s, fmt.Errorf("%s is damaged: want %d hexadecimal digits; without the file, another secret is made", path, 2*secretBytes)
	}
	return s, nil
}

// signID returns an ID with its code.
func (s idSigner) signID(id string) string {
	const codeBytes = 10
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(id))
	return id + "-" + base32.StdEncoding.EncodeToString(mac.Sum(nil)[:codeBytes])
}
