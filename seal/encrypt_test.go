package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwe"
	"github.com/lestrrat-go/jwx/v3/jwk"
)

const cryptoNone = crypto.Hash(0)

// jwkOf is the public key as another library has it.
func jwkOf(t *testing.T, k *Key) jwk.Key {
	t.Helper()
	text := must(k.MarshalJSON())(t)
	return must(jwk.ParseKey(text))(t)
}

func TestEveryRecipientReadsWhatIsForIt(t *testing.T) {
	_, payload := change(1)
	var keys []*Key
	for _, name := range []string{"xdr", "node", "archive"} {
		keys = append(keys, testEncryptionKey(t, name))
		e := must(NewEncrypter(keys...))(t)
		envelope := must(e.Encrypt(payload))(t)
		if want := map[bool]string{true: TypeCompact, false: TypeGeneral}[len(keys) == 1]; e.ContentType() != want || isJSON(envelope) != (len(keys) > 1) {
			t.Errorf("%d recipients: %s, %.20s", len(keys), e.ContentType(), envelope)
		}
		for _, k := range keys {
			if got, err := must(NewDecrypter(k))(t).Decrypt(envelope); err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%d recipients: %q, %v", len(keys), got, err)
			}
			if got, err := jwe.Decrypt(envelope, jwe.WithKey(jwa.ECDH_ES_A256KW(), k.decrypt)); err != nil || !bytes.Equal(got, payload) {
				t.Errorf("%d recipients, another library: %q, %v", len(keys), got, err)
			}
		}
		_, err := must(NewDecrypter(testEncryptionKey(t, "stranger")))(t).Decrypt(envelope)
		wantError(t, "a stranger", err, ErrNotRecipient)
		if bytes.Contains(envelope, []byte("web-server")) {
			t.Error("it is not encrypted")
		}
	}
}

// A changed envelope gives an error, or the same content where the change is about
// somebody else; never another content. (The signature refuses either.)
func TestAChangedEnvelopeNeverGivesAnotherContent(t *testing.T) {
	_, payload := change(1)
	k := testEncryptionKey(t, "xdr")
	d := must(NewDecrypter(k))(t)
	for _, to := range [][]*Key{{k}, {testEncryptionKey(t, "node"), k}} {
		envelope := must(must(NewEncrypter(to...))(t).Encrypt(payload))(t)
		step := 1
		if testing.Short() {
			step = 11
		}
		for i := 0; i < len(envelope); i += step {
			envelope[i] ^= 1
			got, err := d.Decrypt(envelope)
			if err == nil && (len(to) == 1 || !bytes.Equal(got, payload)) {
				t.Errorf("%d recipients, byte %d changed: %q", len(to), i, got)
			}
			if err != nil && !errors.Is(err, ErrMalformed) && !errors.Is(err, ErrForbiddenHeader) && !errors.Is(err, ErrNotRecipient) && !errors.Is(err, ErrUndecryptable) {
				t.Errorf("byte %d changed: %v", i, err)
			}
			envelope[i] ^= 1
		}
	}
}

func TestEnvelopesThatAskForSomethingElseAreRefused(t *testing.T) {
	_, payload := change(1)
	k, other := testEncryptionKey(t, "xdr"), testEncryptionKey(t, "node")
	d := must(NewDecrypter(k))(t)
	rsaKey := must(rsa.GenerateKey(rand.Reader, 2048))(t)
	p256 := must(ecdh.P256().GenerateKey(rand.Reader))(t)
	withKid := func(raw any) jwk.Key {
		key := must(jwk.Import(raw))(t)
		if err := key.Set(jwk.KeyIDKey, k.ID()); err != nil {
			t.Fatal(err)
		}
		return key
	}
	public := withKid(k.encrypt)
	encrypt := func(options ...jwe.EncryptOption) string { return string(must(jwe.Encrypt(payload, options...))(t)) }
	good := encrypt(jwe.WithKey(jwa.ECDH_ES_A256KW(), public), jwe.WithContentEncryption(jwa.A256GCM()))
	two := string(must(must(NewEncrypter(other, k))(t).Encrypt(payload))(t))
	header, rest, _ := strings.Cut(good, ".")
	text := string(must(b64.DecodeString(header))(t))
	with := func(old, new string) string {
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in %s", old, text)
		}
		return b64.EncodeToString([]byte(strings.Replace(text, old, new, 1))) + "." + rest
	}
	for _, tt := range []struct {
		name, envelope string
		want           error
	}{
		{"another content encryption", encrypt(jwe.WithKey(jwa.ECDH_ES_A256KW(), public), jwe.WithContentEncryption(jwa.A128CBC_HS256())), ErrForbiddenHeader},
		{"another key wrapping", encrypt(jwe.WithKey(jwa.ECDH_ES_A128KW(), public), jwe.WithContentEncryption(jwa.A256GCM())), ErrForbiddenHeader},
		{"a direct agreement", encrypt(jwe.WithKey(jwa.ECDH_ES(), public), jwe.WithContentEncryption(jwa.A256GCM())), ErrForbiddenHeader},
		{"RSA", encrypt(jwe.WithKey(jwa.RSA_OAEP_256(), withKid(&rsaKey.PublicKey)), jwe.WithContentEncryption(jwa.A256GCM())), ErrForbiddenHeader},
		{"another curve", encrypt(jwe.WithKey(jwa.ECDH_ES_A256KW(), withKid(p256.PublicKey())), jwe.WithContentEncryption(jwa.A256GCM())), ErrForbiddenHeader},
		{"a shared secret that is public", encrypt(jwe.WithKey(jwa.A256KW(), withKid(k.publicBytes())), jwe.WithContentEncryption(jwa.A256GCM())), ErrForbiddenHeader},
		{"compressed", encrypt(jwe.WithKey(jwa.ECDH_ES_A256KW(), public), jwe.WithContentEncryption(jwa.A256GCM()), jwe.WithCompress(jwa.Deflate())), ErrForbiddenHeader},
		{"alg twice", with(`"alg":`, `"alg":"dir","alg":`), ErrForbiddenHeader},
		{"alg none", with(`"ECDH-ES+A256KW"`, `"none"`), ErrForbiddenHeader},
		{"crit", with(`"alg":`, `"crit":["x"],"x":1,"alg":`), ErrForbiddenHeader},
		{"a key of its own", with(`"alg":`, `"jwk":{},"alg":`), ErrForbiddenHeader},
		{"apu", with(`"alg":`, `"apu":"AAAA","alg":`), ErrForbiddenHeader},
		{"no ephemeral key", b64.EncodeToString([]byte(`{"alg":"ECDH-ES+A256KW","enc":"A256GCM","kid":"`+k.ID()+`"}`)) + "." + rest, ErrForbiddenHeader},
		{"an ephemeral key of zeros", b64.EncodeToString([]byte(`{"alg":"ECDH-ES+A256KW","enc":"A256GCM","kid":"`+k.ID()+
			`","epk":{"kty":"OKP","crv":"X25519","x":"`+strings.Repeat("A", 43)+`"}}`)) + "." + rest, ErrUndecryptable},
		{"an ephemeral key that is too short", b64.EncodeToString([]byte(`{"alg":"ECDH-ES+A256KW","enc":"A256GCM","kid":"`+k.ID()+
			`","epk":{"kty":"OKP","crv":"X25519","x":"AAAA"}}`)) + "." + rest, ErrUndecryptable},
		{"no kid", b64.EncodeToString([]byte(strings.Replace(text, `"kid":"`+k.ID()+`"`, `"kid":""`, 1))) + "." + rest, ErrForbiddenHeader},
		{"a header in another form, same meaning", with(`{"alg"`, `{ "alg"`), ErrUndecryptable},
		{"the recipients' keys swapped", swapped(t, two), ErrUndecryptable},
		{"alg of a recipient", strings.Replace(two, `"alg":"ECDH-ES+A256KW"`, `"alg":"dir"`, 1), ErrForbiddenHeader},
		{"an unprotected header", strings.Replace(two, `"iv"`, `"unprotected":{"zip":"DEF"},"iv"`, 1), ErrMalformed},
		{"additional data", strings.Replace(two, `"iv"`, `"aad":"AAAA","iv"`, 1), ErrMalformed},
		{"a member twice", strings.Replace(two, `"iv"`, `"iv":"AAAA","iv"`, 1), ErrMalformed},
		{"enc unprotected", strings.Replace(two, `"alg":`, `"enc":"A128GCM","alg":`, 1), ErrForbiddenHeader},
		{"no recipients", `{"ciphertext":"","iv":"","protected":"eyJlbmMiOiJBMjU2R0NNIn0","recipients":[],"tag":""}`, ErrMalformed},
		{"in flattened form", `{"ciphertext":"","iv":"","protected":"eyJlbmMiOiJBMjU2R0NNIn0","header":{},"encrypted_key":"","tag":""}`, ErrMalformed},
		{"a line break in the base64", strings.Replace(good, ".", "\n.", 1), ErrMalformed},
		{"six parts", good + ".AAAA", ErrMalformed},
		{"nothing", "", ErrMalformed},
		{"too large", strings.Repeat("A", sizeMax+1), ErrMalformed},
	} {
		_, err := d.Decrypt([]byte(tt.envelope))
		wantError(t, tt.name, err, tt.want)
	}
	if _, err := d.Decrypt([]byte(good)); err != nil {
		t.Errorf("the good one: %v", err)
	}
}

// swapped has each recipient's encrypted key at the other one.
func swapped(t *testing.T, envelope string) string {
	t.Helper()
	var g struct {
		generalForm
		Recipients []map[string]json.RawMessage `json:"recipients"`
	}
	if err := json.Unmarshal([]byte(envelope), &g); err != nil || len(g.Recipients) != 2 {
		t.Fatal(err)
	}
	a, b := g.Recipients[0], g.Recipients[1]
	a["encrypted_key"], b["encrypted_key"] = b["encrypted_key"], a["encrypted_key"]
	return string(must(json.Marshal(g))(t))
}

func TestWhatCannotBeEncryptedIsSaidAtOnce(t *testing.T) {
	if _, err := NewEncrypter(); err == nil {
		t.Error("no recipient")
	}
	if _, err := NewEncrypter(testSigningKey("node01")); err == nil {
		t.Error("only a signing key")
	}
	if _, err := NewDecrypter(testEncryptionKey(t, "xdr").Public()); err == nil {
		t.Error("only a public key")
	}
	var many []*Key
	for i := range recipientsMax + 1 {
		many = append(many, testEncryptionKey(t, string(rune('a'+i))))
	}
	if _, err := NewEncrypter(many...); err == nil {
		t.Error("too many recipients")
	}
	k := testEncryptionKey(t, "xdr")
	if e := must(NewEncrypter(k, k.Public(), testSigningKey("x")))(t); len(e.Recipients()) != 1 || e.ContentType() != TypeCompact {
		t.Error("the same recipient twice is two recipients")
	}
}
