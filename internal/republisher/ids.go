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

// openIDSigner reads the secret, and makes one if there is none that can be read. After an
// error, the secret is a new one all the same, and for this run if it cannot be written.
func openIDSigner(path string) (idSigner, error) {
	secret, err := readSecret(path)
	if err == nil {
		return idSigner{secret}, nil
	}
	secret = make([]byte, secretBytes)
	_, _ = rand.Read(secret) // never fails
	writeErr := keyfile.Write(path, []byte(hex.EncodeToString(secret)), 0o600, false)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return idSigner{secret}, errors.Join(err, writeErr)
}

func readSecret(path string) ([]byte, error) {
	text, err := keyfile.Read(path, keyfile.Private)
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(string(text))
	if err != nil || len(secret) != secretBytes {
		return nil, fmt.Errorf("%s is damaged: want %d hexadecimal digits", path, 2*secretBytes)
	}
	return secret, nil
}

// signID returns an ID with its code.
func (s idSigner) signID(id string) string {
	const codeBytes = 10
	mac := hmac.New(sha256.New, s.secret)
	mac.Write([]byte(id))
	return id + "-" + base32.StdEncoding.EncodeToString(mac.Sum(nil)[:codeBytes])
}
