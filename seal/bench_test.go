package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/rand"
	"testing"
	"time"
)

// Each of ours stands behind the bare cryptography that it cannot do without.

func BenchmarkSign(b *testing.B) {
	k := testSigningKey("node01")
	_, payload := change(1)
	s := must(NewSigner(k))(b)
	b.Run("bare-ed25519", func(b *testing.B) {
		for b.Loop() {
			ed25519.Sign(k.sign, payload)
		}
	})
	b.Run("pulse", func(b *testing.B) {
		for b.Loop() {
			s.Sign(payload)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	k := testSigningKey("node01")
	_, payload := change(1)
	bare := ed25519.Sign(k.sign, payload)
	signature := must(NewSigner(k))(b).Sign(payload)
	v := must(NewVerifier(k, testSigningKey("node02")))(b)
	b.Run("bare-ed25519", func(b *testing.B) {
		for b.Loop() {
			ed25519.Verify(k.verify, payload, bare)
		}
	})
	b.Run("pulse", func(b *testing.B) {
		for b.Loop() {
			if _, err := v.Verify(signature, payload); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkSeal is signing and encrypting for one recipient, beside a signature, an
// X25519 key and an agreement.
func BenchmarkSeal(b *testing.B) {
	k, xdr := testSigningKey("node01"), testEncryptionKey(b, "xdr")
	_, payload := change(1)
	s := must(NewSigner(k))(b)
	b.Run("bare-ed25519-x25519", func(b *testing.B) {
		for b.Loop() {
			once := must(ecdh.X25519().GenerateKey(rand.Reader))(b)
			must(once.ECDH(xdr.encrypt))(b)
			ed25519.Sign(k.sign, payload)
		}
	})
	b.Run("bare-aes-gcm", func(b *testing.B) {
		aead := must(cipher.NewGCM(must(aes.NewCipher(make([]byte, 32)))(b)))(b)
		nonce, out := make([]byte, 12), make([]byte, 0, 1024)
		for b.Loop() {
			aead.Seal(out, nonce, payload, nil)
		}
	})
	for name, to := range map[string][]*Key{"pulse-1-recipient": {xdr}, "pulse-2-recipients": {xdr, testEncryptionKey(b, "node")}} {
		e := must(NewEncrypter(to...))(b)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				s.Sign(must(e.Encrypt(payload))(b))
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	k, xdr := testSigningKey("node01"), testEncryptionKey(b, "xdr")
	subject, payload := change(1)
	for name, m := range map[string]Message{"signed": signed(b, k, subject, payload), "encrypted": sealed(b, k, subject, payload, xdr)} {
		o := opener(b, k)
		o.Decrypter, o.AllowPlain = must(NewDecrypter(xdr))(b), true
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := o.Open(m); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkGuard(b *testing.B) {
	g := NewGuard(GuardConfig{Complete: true})
	s := security(telemetrySubject, 1, 0)
	now := time.UnixMilli(s.IssuedAt)
	b.ReportAllocs()
	for b.Loop() {
		s.Sequence++
		if _, err := g.Check(s, now); err != nil {
			b.Fatal(err)
		}
	}
}

func TestTheGuardAllocatesNothing(t *testing.T) {
	g := NewGuard(GuardConfig{Complete: true})
	s := security(telemetrySubject, 1, 0)
	if n := testing.AllocsPerRun(1000, func() {
		s.Sequence++
		_, _ = g.Check(s, madeAt)
	}); n > 0 {
		t.Errorf("%v allocations a message", n)
	}
}
