package seal

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwk"
)

// RFC 8037, appendix A: a key, and its thumbprint.
const (
	rfcPrivate    = `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
	rfcThumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
)

func TestAKeysIdIsItsThumbprint(t *testing.T) {
	keys := must(ParseKeys([]byte(rfcPrivate)))(t)
	if len(keys) != 1 || keys[0].ID() != rfcThumbprint || !keys[0].Private() || keys[0].Use() != Signing {
		t.Errorf("%v", keys)
	}
}

func TestKeysAreReadAsTheyWereWritten(t *testing.T) {
	var all []*Key
	for _, use := range []Use{Signing, Encryption} {
		k := must(GenerateKey(use))(t)
		if use == Signing {
			k.Node = "node01"
		}
		text := must(MarshalPrivate(k))(t)
		again := must(ParseKeys(text))(t)[0]
		if !again.Equal(k) || !again.Private() || again.Node != k.Node || again.Use() != use || again.ID() != k.ID() {
			t.Errorf("%s\nis read as %v", text, again)
		}
		other := must(jwk.ParseKey(text))(t)
		if id, _ := other.KeyID(); id != k.ID() {
			t.Errorf("another library reads kid %q", id)
		}
		if use == Encryption && string(again.decrypt.Bytes()) != string(k.decrypt.Bytes()) || use == Signing && !again.sign.Equal(k.sign) {
			t.Error("another secret")
		}
		all = append(all, k)
	}
	text := must(MarshalKeys(all...))(t)
	if strings.Contains(string(text), `"d"`) {
		t.Errorf("a public set with secrets:\n%s", text)
	}
	for i, k := range must(ParseKeys(text))(t) {
		if !k.Equal(all[i]) || k.Private() || k.Node != all[i].Node {
			t.Errorf("%v is read as %v", all[i], k)
		}
	}
	if text := must(MarshalKeys())(t); !strings.Contains(string(text), "[]") {
		t.Errorf("no keys: %s", text)
	}
	if _, err := GenerateKey("x"); err == nil {
		t.Error("a key for nothing known")
	}
	if _, err := MarshalPrivate(all[0].Public()); err == nil {
		t.Error("a public key was written as a private one")
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	k := must(ParseKeys([]byte(rfcPrivate)))(t)[0]
	var log strings.Builder
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", k, "keys", []*Key{k})
	text := log.String() + string(must(json.Marshal(k))(t))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		text += fmt.Sprintf(verb, k) + fmt.Sprintf(verb, []*Key{k}) + fmt.Sprintf(verb, struct{ K *Key }{k})
	}
	if strings.Contains(text, "nWGxne") || strings.Contains(text, fmt.Sprintf("%x", k.sign.Seed())) || strings.Contains(text, fmt.Sprint(k.sign.Seed())) {
		t.Errorf("the secret is in\n%s", text)
	}
}

func TestKeysThatAreNotPulsesAreRefused(t *testing.T) {
	const x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
	for _, tt := range []struct{ text, want string }{
		{``, "no JWK or JWKS"},
		{`{}`, `neither "kty" nor "keys"`},
		{`[]`, "no JWK or JWKS"},
		{`{"keys":5}`, "no JWK or JWKS"},
		{`{"keys":[{"kty":"OKP"}]}`, "key 1"},
		{`{"kty":"oct","k":"AAAA"}`, "want an OKP key"},
		{`{"kty":"OKP","crv":"Ed448","x":"AAAA"}`, "key 1"},
		{`{"kty":"OKP","crv":"Ed25519","x":"AAAA"}`, "key 1"},
		{`{"kty":"OKP","crv":"X25519","x":"AAAA"}`, "key 1"},
		{`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","kid":"mine"}`, "want its RFC 7638 thumbprint, " + rfcThumbprint},
		{`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","use":"enc"}`, "use"},
		{`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","alg":"HS256"}`, "alg"},
		{`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","x":"` + x + `"}`, "no JWK"},
		{`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","pulse_node":5}`, "pulse_node"},
		{`{"kty":"OKP","crv":"Ed25519","x":"` + x + `","pulse_node":""}`, "pulse_node"},
		{strings.Replace(rfcPrivate, "11qY", "22qY", 1), "not that of its d"},
		{`{"kty":"OKP","crv":"X25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"` + x + `"}`, "not that of its d"},
	} {
		keys, err := ParseKeys([]byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "nWGxne") {
			t.Errorf("%s: got %v, %v; want an error with %q", tt.text, keys, err, tt.want)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(rfcPrivate))
	f.Add([]byte(`{"keys":[` + rfcPrivate + `,{"kty":"OKP","crv":"X25519","x":"3p7bfXt9wbTTW2HC7OQ1Nz-DQ8hbeGdNrfx-FG-IK08","use":"enc"}]}`))
	f.Add([]byte(`{"kty":"OKP","crv":"Ed25519","x":"","d":""}`))
	f.Add([]byte(`{"kty":"RSA","n":"AQAB","e":"AQAB"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		keys, err := ParseKeys(text)
		if err != nil {
			return
		}
		again := must(ParseKeys(must(MarshalKeys(keys...))(t)))(t)
		for i := range keys {
			if !again[i].Equal(keys[i]) || again[i].Node != keys[i].Node {
				t.Errorf("%v is read as %v", keys[i], again[i])
			}
		}
	})
}
