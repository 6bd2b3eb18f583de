package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
)

// signatureMember is what comes before a checkpoint's signature, which is its last
// member: it is of all the line before it.
const signatureMember = `,"sig":"`

// strict accepts one text for a signature: no bit of it can be changed.
var strict = base64.RawURLEncoding.Strict()

// signatureEnd is how long a line's end is from the signatureMember on.
var signatureEnd = len(signatureMember) + strict.EncodedLen(ed25519.SignatureSize) + len(`"}`)

// signed is what is signed of a checkpoint: its line up to the signature, behind
// words that no other message of ours begins with.
func signed(line []byte) []byte {
	return append([]byte("pulse audit checkpoint 1\n"), line...)
}

var (
	errNoSignature  = errors.New("a checkpoint without a signature")
	errBadSignature = errors.New("the signature is not that of this line")
)

// checkSignature checks that of a checkpoint's line.
func checkSignature(line []byte, key ed25519.PublicKey) error {
	cut := len(line) - signatureEnd
	if cut < 0 || !bytes.HasPrefix(line[cut:], []byte(signatureMember)) || !bytes.HasSuffix(line, []byte(`"}`)) {
		return errNoSignature
	}
	signature, err := strict.AppendDecode(nil, line[cut+len(signatureMember):len(line)-len(`"}`)])
	if err != nil || !ed25519.Verify(key, signed(line[:cut]), signature) {
		return errBadSignature
	}
	return nil
}
