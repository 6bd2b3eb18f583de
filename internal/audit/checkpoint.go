package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"log/slog"
	"time"
)

// signatureMember is what comes before a checkpoint's signature, which is its last
// member: it is of all the line before it.
const signatureMember = `,"sig":"`

// strict accepts one text for a signature: no bit of it can be changed.
var strict = base64.RawURLEncoding.Strict()

// signatureEnd is how long a line's end is from the signatureMember on.
var signatureEnd = len(signatureMember) + strict.EncodedLen(ed25519.SignatureSize) + len(`"}`)

// checkpoint signs all lines since the last one.
func (l *Log) checkpoint(now time.Time) {
	if l.unsigned == 0 || l.trouble.err != nil {
		return
	}
	attrs := []slog.Attr{slog.Int("lines", l.unsigned)}
	if s := l.cfg.Signer; s != nil {
		attrs = append(attrs, slog.String("kid", s.KeyID()))
	}
	members := l.encode(now, KindCheckpoint, attrs)
	if s := l.cfg.Signer; s != nil {
		open := members[:len(members)-1]
		signature, err := s.Sign(signed(append(l.opening(nil), open...)))
		if err != nil {
			l.log.Error("cannot sign the audit log", "err", err)
			return
		}
		members = append(bytes.Clone(open), signatureMember...)
		members = append(strict.AppendEncode(members, signature), `"}`...)
	}
	l.append(members)
	l.unsigned = 0
}

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
