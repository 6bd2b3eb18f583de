package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jws"
)

func TestAnotherLibraryAcceptsOurSignatures(t *testing.T) {
	k := testSigningKey("node01")
	_, payload := change(1)
	signature := must(NewSigner(k))(t).Sign(payload)
	if _, err := jws.Verify([]byte(signature), jws.WithKey(jwa.EdDSA(), k.verify), jws.WithDetachedPayload(payload)); err != nil {
		t.Error(err)
	}
	payload[3] ^= 1
	if _, err := jws.Verify([]byte(signature), jws.WithKey(jwa.EdDSA(), k.verify), jws.WithDetachedPayload(payload)); err == nil {
		t.Error("it accepts them for another payload, so it proves nothing")
	}
}

// jwxSignature is a detached JWS by another library, with extra headers.
func jwxSignature(t *testing.T, k *Key, payload []byte, extra map[string]any) string {
	t.Helper()
	h := jws.NewHeaders()
	for name, value := range map[string]any{"b64": false, "crit": []string{"b64"}, "kid": k.ID()} {
		if err := h.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range extra {
		if err := h.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	return string(must(jws.Sign(nil, jws.WithKey(jwa.EdDSA(), k.sign, jws.WithProtectedHeaders(h)), jws.WithDetachedPayload(payload)))(t))
}

func TestWeAcceptAnotherLibrarysSignatures(t *testing.T) {
	k := testSigningKey("node01")
	_, payload := change(1)
	by, err := must(NewVerifier(testSigningKey("node02"), k))(t).Verify(jwxSignature(t, k, payload, nil), payload)
	if err != nil || by.ID() != k.ID() {
		t.Errorf("by %v: %v", by, err)
	}
}

func TestEveryChangedBitOfASignedMessageIsRefused(t *testing.T) {
	k := testSigningKey("node01")
	_, payload := change(1)
	signature := must(NewSigner(k))(t).Sign(payload)
	v := must(NewVerifier(k))(t)
	if _, err := v.Verify(signature, payload); err != nil {
		t.Fatal(err)
	}
	for i := range payload {
		payload[i] ^= 1 << (i % 8)
		if _, err := v.Verify(signature, payload); err == nil {
			t.Errorf("byte %d of the payload changed: accepted", i)
		}
		payload[i] ^= 1 << (i % 8)
	}
	for i := range len(signature) {
		for bit := range 8 {
			changed := []byte(signature)
			changed[i] ^= 1 << bit
			if _, err := v.Verify(string(changed), payload); err == nil {
				t.Errorf("bit %d of byte %d of the signature changed: accepted", bit, i)
			}
		}
	}
	for _, changed := range []string{signature + "\n", signature + "=", signature + "A", signature[:len(signature)-1], " " + signature,
		strings.Replace(signature, "..", ".\n.", 1), signature + "\r\n"} {
		if _, err := v.Verify(changed, payload); err == nil {
			t.Errorf("%q: accepted", changed)
		}
	}
	if _, err := v.Verify(signature, append(payload, '\n')); err == nil {
		t.Error("a byte more: accepted")
	}
}

// forged is a JWS with a header of the attacker's, and a signature over it by f.
func forged(header string, payload []byte, f func(input []byte) []byte) string {
	h := b64.EncodeToString([]byte(header))
	return h + ".." + b64.EncodeToString(f(appendSigningInput(nil, h, payload)))
}

func hmacOf(key, in []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(in)
	return mac.Sum(nil)
}

func TestKnownAttacksOnSignaturesAreRefused(t *testing.T) {
	k, attacker := testSigningKey("node01"), testSigningKey("attacker")
	_, payload := change(1)
	byKey := func(k *Key) func([]byte) []byte {
		return func(in []byte) []byte { return must(k.sign.Sign(nil, in, cryptoNone))(t) }
	}
	nothing := func([]byte) []byte { return nil }
	hmacWithPublicKey := func(in []byte) []byte { return hmacOf(k.verify, in) }
	encodedPayload := func(header string) string {
		h := b64.EncodeToString([]byte(header))
		return h + ".." + b64.EncodeToString(byKey(k)([]byte(h+"."+b64.EncodeToString(payload))))
	}
	good := must(NewSigner(k))(t).Sign(payload)
	kid := `"kid":"` + k.ID() + `"`
	for _, tt := range []struct {
		name, signature string
		want            error
	}{
		{"no signature", "", ErrUnsigned},
		{"alg none", forged(`{"alg":"none","b64":false,"crit":["b64"],`+kid+`}`, payload, nothing), ErrForbiddenHeader},
		{"alg none, with the right signature", forged(`{"alg":"none","b64":false,"crit":["b64"],`+kid+`}`, payload, byKey(k)), ErrForbiddenHeader},
		{"HS256 with the public key", forged(`{"alg":"HS256","b64":false,"crit":["b64"],`+kid+`}`, payload, hmacWithPublicKey), ErrForbiddenHeader},
		{"EdDSA, signed by HMAC with the public key", forged(`{"alg":"EdDSA","b64":false,"crit":["b64"],`+kid+`}`, payload, hmacWithPublicKey), ErrBadSignature},
		{"a key embedded in the header", jwxSignature(t, attacker, payload, map[string]any{"kid": k.ID(), "jwk": jwkOf(t, attacker)}), ErrForbiddenHeader},
		{"a key's address in the header", jwxSignature(t, attacker, payload, map[string]any{"kid": k.ID(), "jku": "https://example.com/keys"}), ErrForbiddenHeader},
		{"the right key, and a header more", jwxSignature(t, k, payload, map[string]any{"typ": "JOSE"}), ErrForbiddenHeader},
		{"crit left out", forged(`{"alg":"EdDSA","b64":false,`+kid+`}`, payload, byKey(k)), ErrForbiddenHeader},
		{"crit empty", forged(`{"alg":"EdDSA","b64":false,"crit":[],`+kid+`}`, payload, byKey(k)), ErrForbiddenHeader},
		{"crit with something that nobody knows", forged(`{"alg":"EdDSA","b64":false,"crit":["b64","exp"],`+kid+`}`, payload, byKey(k)), ErrForbiddenHeader},
		{"b64 left out", encodedPayload(`{"alg":"EdDSA",` + kid + `}`), ErrForbiddenHeader},
		{"b64 true", encodedPayload(`{"alg":"EdDSA","b64":true,"crit":["b64"],` + kid + `}`), ErrForbiddenHeader},
		{"b64 false, and the payload encoded", encodedPayload(`{"alg":"EdDSA","b64":false,"crit":["b64"],` + kid + `}`), ErrBadSignature},
		{"b64 as text", forged(`{"alg":"EdDSA","b64":"false","crit":["b64"],`+kid+`}`, payload, byKey(k)), ErrForbiddenHeader},
		{"alg twice", forged(`{"alg":"none","alg":"EdDSA","b64":false,"crit":["b64"],`+kid+`}`, payload, byKey(k)), ErrForbiddenHeader},
		{"kid twice", forged(`{"alg":"EdDSA","b64":false,"crit":["b64"],"kid":"x",`+kid+`}`, payload, byKey(k)), ErrForbiddenHeader},
		{"alg and ALG", forged(`{"ALG":"none","alg":"EdDSA","b64":false,"crit":["b64"],`+kid+`}`, payload, byKey(k)), ErrForbiddenHeader},
		{"a space in the header", forged(`{"alg":"EdDSA", "b64":false,"crit":["b64"],`+kid+`}`, payload, byKey(k)), ErrForbiddenHeader},
		{"another order", forged(`{`+kid+`,"alg":"EdDSA","b64":false,"crit":["b64"]}`, payload, byKey(k)), ErrForbiddenHeader},
		{"no kid", forged(`{"alg":"EdDSA","b64":false,"crit":["b64"]}`, payload, byKey(k)), ErrForbiddenHeader},
		{"a known kid, another's signature", forged(`{"alg":"EdDSA","b64":false,"crit":["b64"],`+kid+`}`, payload, byKey(attacker)), ErrBadSignature},
		{"a key that is not trusted", must(NewSigner(attacker))(t).Sign(payload), ErrUnknownKey},
		{"a payload that is not detached", strings.Replace(good, "..", "."+b64.EncodeToString(payload)+".", 1), ErrMalformed},
		{"a signature of nothing", forged(`{"alg":"EdDSA","b64":false,"crit":["b64"],`+kid+`}`, payload, nothing), ErrBadSignature},
		{"a signature of zeros", forged(`{"alg":"EdDSA","b64":false,"crit":["b64"],`+kid+`}`, payload, func([]byte) []byte { return make([]byte, 64) }), ErrBadSignature},
		{"no JWS", "signed", ErrMalformed},
		{"JSON form", `{"payload":"","signatures":[]}`, ErrMalformed},
		{"a header that is no base64", "!!..AA", ErrMalformed},
		{"a header that is no JSON", b64.EncodeToString([]byte("x")) + "..AA", ErrForbiddenHeader},
		{"far too long", strings.Repeat("A", 1<<20), ErrMalformed},
	} {
		_, err := must(NewVerifier(k))(t).Verify(tt.signature, payload)
		wantError(t, tt.name, err, tt.want)
	}
}
