package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
)

// signatureMember precedes a checkpoint's signature, which is its last member and covers
// the line before it.
const signatureMember = `,"sig":"`

// base64URL accepts one encoding of a signature only: no bit of it can be changed.
var base64URL = base64.RawURLEncoding.Strict()

// signatureEnd is how long a line's end is from the signatureMember on.
var signatureEnd = len(signatureMember) + base64URL.EncodedLen(ed25519.SignatureSize) + len(`"}`)

// signedCheckpointBytes returns what is signed of a checkpoint: its line up to the signature, after a
// prefix that no other signed text of Pulse has.
func signedCheckpointBytes(line []byte) []byte {
	return append([]byte("pulse audit checkpoint 1\n"), line...)
}

var (
	errNoSignature  = errors.New("a checkpoint without a signature")
	errBadSignature = errors.New("the signature is not that of this line")
)

// checkSignature checks the signature of a checkpoint's line.
func checkSignature(line []byte, key ed25519.PublicKey) error {
	cut := len(line) - signatureEnd
	if cut < 0 || !bytes.HasPrefix(line[cut:], []byte(signatureMember)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return errNoSignature
	}
	signature, err := base64URL.AppendDecode(nil, line[cut+len(signatureMember):len(line)-len(`"}`)])
	if err != nil || !ed25519.Verify(key, signedCheckpointBytes(line[:cut]), signature) {
		return errBadSignature
	}
	return nil
}
