package seal

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write testdata/vectors anew")

const vectorsDir = "../testdata/vectors"

// vectorFile is testdata/vectors/messages.json; the README beside it explains it.
type vectorFile struct {
	Now      string   `json:"now"`
	Messages []vector `json:"messages"`
}

type vector struct {
	Name    string              `json:"name"`
	Subject string              `json:"subject"`
	Headers map[string][]string `json:"headers"`
	Payload string              `json:"payload"`
	Verdict string              `json:"verdict"`
	Content string              `json:"content,omitempty"` // of a good one: the JSON
}

var verdicts = map[string]error{"good": nil, "unsigned": ErrUnsigned, "malformed": ErrMalformed, "forbidden_header": ErrForbiddenHeader,
	"unknown_key": ErrUnknownKey, "bad_signature": ErrBadSignature, "wrong_node": ErrWrongNode, "wrong_subject": ErrWrongSubject,
	"replayed": ErrReplayed, "stale": ErrStale, "future": ErrFuture, "not_recipient": ErrNotRecipient, "undecryptable": ErrUndecryptable}

// The vectors for other languages get the verdicts that they promise.
func TestTheVectorsAreJudgedAsTheySay(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	var file vectorFile
	if err := json.Unmarshal(must(os.ReadFile(filepath.Join(vectorsDir, "messages.json")))(t), &file); err != nil {
		t.Fatal(err)
	}
	readKeys := func(name string) []*Key {
		return must(ParseKeys(must(os.ReadFile(filepath.Join(vectorsDir, name)))(t)))(t)
	}
	now := must(time.Parse(time.RFC3339, file.Now))(t)
	o := &Opener{Verifier: must(NewVerifier(readKeys("public.jwks")...))(t), Decrypter: must(NewDecrypter(readKeys("xdr.jwk")...))(t),
		AllowPlain: true, Guard: NewGuard(GuardConfig{}), Now: func() time.Time { return now }}
	seen := make(map[string]bool)
	for _, v := range file.Messages {
		want, known := verdicts[v.Verdict]
		if !known {
			t.Errorf("%s: verdict %q", v.Name, v.Verdict)
		}
		seen[v.Verdict] = true
		got, err := o.Open(Message{v.Subject, v.Headers, []byte(v.Payload)})
		if !errors.Is(err, want) || want == nil && (err != nil || string(got.Payload) != v.Content) {
			t.Errorf("%s: %v, want %s", v.Name, err, v.Verdict)
		}
	}
	for verdict := range verdicts {
		if !seen[verdict] {
			t.Errorf("no vector for %s", verdict)
		}
	}
}

// maker writes vectors.
type maker struct {
	t    *testing.T
	file vectorFile
}

func (m *maker) add(name, verdict string, msg Message, content []byte) {
	v := vector{Name: name, Subject: msg.Subject, Headers: msg.Header, Payload: string(msg.Data), Verdict: verdict}
	if verdict == "good" {
		v.Content = string(content)
	}
	if v.Headers == nil {
		v.Headers = map[string][]string{}
	}
	m.file.Messages = append(m.file.Messages, v)
}

func (m *maker) write(name string, text []byte) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(vectorsDir, name), append(text, '\n'), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

func writeVectors(t *testing.T) {
	node, stranger, bound := testSigningKey("vectors node01"), testSigningKey("vectors stranger"), testSigningKey("vectors node02")
	node.Node, bound.Node, bound.FormerNodes = "node01", "node02", []string{"east"}
	xdr, reading, other := testEncryptionKey(t, "vectors xdr"), testEncryptionKey(t, "vectors node01"), testEncryptionKey(t, "vectors other")
	m := &maker{t, vectorFile{Now: madeAt.Add(time.Minute).UTC().Format(time.RFC3339)}}
	m.write("public.jwks", must(MarshalKeys(node, bound))(t))
	for name, k := range map[string]*Key{"node01.jwk": node, "node02.jwk": bound, "xdr.jwk": xdr, "reading.jwk": reading, "stranger.jwk": stranger} {
		m.write(name, must(MarshalPrivate(k))(t))
	}
	m.valid(node, xdr, reading)
	m.renamed(bound)
	m.tampered(node, bound, stranger)
	m.confused(node, stranger)
	m.sealed(node, xdr, other)
	m.lastWill(node)
	m.replayed(node)
	text := bytes.NewBuffer(nil)
	enc := json.NewEncoder(text)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(m.file); err != nil {
		t.Fatal(err)
	}
	m.write("messages.json", bytes.TrimSpace(text.Bytes()))
}

func (m *maker) valid(node, xdr, reading *Key) {
	subject, payload := change(1)
	m.add("signed", "good", signed(m.t, node, subject, payload), payload)
	_, payload = change(2)
	m.add("encrypted for one recipient", "good", sealed(m.t, node, subject, payload, xdr), payload)
	_, payload = change(4)
	m.add("encrypted for two recipients", "good", sealed(m.t, node, subject, payload, xdr, reading), payload)
	_, payload = change(3)
	m.add("encrypted for two recipients, the other first; a little late", "good", sealed(m.t, node, subject, payload, reading, xdr), payload)
	_, payload = change(5)
	more := bytes.Replace(payload, []byte(`{"status_change":{`), []byte(`{"of_tomorrow":{"x":[1,2]},"status_change":{"of_tomorrow":"ä€𝄞",`), 1)
	m.add("with fields that nobody knows yet", "good", signed(m.t, node, subject, more), more)
}

// renamed has messages of a node under both names that its key has.
func (m *maker) renamed(bound *Key) {
	subject, payload := change(1)
	for _, v := range []struct{ name, node, verdict string }{{"under the present name of a renamed node", "node02", "good"}, {"under its former name", "east", "good"},
		{"under a name that it never had", "west", "wrong_node"}} {
		text := bytes.Replace(payload, []byte(`"node":"node01"`), []byte(`"node":"`+v.node+`"`), 1)
		m.add(v.name, v.verdict, signed(m.t, bound, subject, text), text)
	}
}

func (m *maker) tampered(node, bound, stranger *Key) {
	subject, payload := change(100)
	good := signed(m.t, node, subject, payload)
	with := func(old, new string) []byte { return []byte(strings.Replace(string(payload), old, new, 1)) }
	m.add("no signature", "unsigned", Message{subject, nil, payload}, nil)
	m.add("the status changed", "bad_signature", Message{subject, good.Header, with(`"current_status":1`, `"current_status":0`)}, nil)
	m.add("a space more at the end", "bad_signature", Message{subject, good.Header, append(bytes.Clone(payload), ' ')}, nil)
	s := good.Header[SignatureHeader][0]
	flipped := map[byte]string{'A': "B"}[s[len(s)-3]]
	if flipped == "" {
		flipped = "A"
	}
	m.add("a character of the signature changed", "bad_signature", Message{subject, withHeader(good.Header, SignatureHeader, s[:len(s)-3]+flipped+s[len(s)-2:]), payload}, nil)
	m.add("the signature cut short", "bad_signature", Message{subject, withHeader(good.Header, SignatureHeader, s[:len(s)-2]), payload}, nil)
	m.add("two signatures", "malformed", Message{subject, withHeader(good.Header, SignatureHeader, s, s), payload}, nil)
	m.add("no JWS", "malformed", Message{subject, withHeader(good.Header, SignatureHeader, "signed"), payload}, nil)
	m.add("by an unknown key", "unknown_key", signed(m.t, stranger, subject, payload), nil)
	m.add("by another node's key", "wrong_node", signed(m.t, bound, subject, payload), nil)
	m.add("on another subject", "wrong_subject", Message{"wazuh.xdr.agent.002.status_change", good.Header, payload}, nil)
	m.add("a name twice", "malformed", signed(m.t, node, subject, with(`"sequence":100`, `"sequence":7,"sequence":100`)), nil)
	m.add("signed, and no JSON", "malformed", signed(m.t, node, subject, []byte("hello")), nil)
	m.add("signed, without the time", "malformed", signed(m.t, node, subject, with(`"issued_at":1716897360120,`, ``)), nil)
	m.add("signed, with a truth for a number", "malformed", signed(m.t, node, subject, with(`"sequence":100`, `"sequence":true`)), nil)
	m.add("signed, without security", "malformed", signed(m.t, node, subject, []byte(`{"status_change":{}}`)), nil)
}

func (m *maker) confused(node, stranger *Key) {
	subject, payload := change(200)
	by := func(k *Key) func([]byte) []byte {
		return func(in []byte) []byte { return must(k.sign.Sign(nil, in, cryptoNone))(m.t) }
	}
	kid := `"kid":"` + node.ID() + `"`
	public := string(must(stranger.MarshalJSON())(m.t))
	for _, a := range []struct {
		name, header string
		sign         func([]byte) []byte
	}{
		{"alg none", `{"alg":"none","b64":false,"crit":["b64"],` + kid + `}`, func([]byte) []byte { return nil }},
		{"HS256 with the public key as the secret", `{"alg":"HS256","b64":false,"crit":["b64"],` + kid + `}`, func(in []byte) []byte { return hmacOf(node.verify, in) }},
		{"a key of the attacker's in the header", `{"alg":"EdDSA","b64":false,"crit":["b64"],"jwk":` + public + `,` + kid + `}`, by(stranger)},
		{"crit left out", `{"alg":"EdDSA","b64":false,` + kid + `}`, by(node)},
		{"crit with something else", `{"alg":"EdDSA","b64":false,"crit":["b64","exp"],"exp":1,` + kid + `}`, by(node)},
		{"b64 true", `{"alg":"EdDSA","b64":true,"crit":["b64"],` + kid + `}`, by(node)},
		{"b64 left out", `{"alg":"EdDSA",` + kid + `}`, by(node)},
		{"alg twice", `{"alg":"none","alg":"EdDSA","b64":false,"crit":["b64"],` + kid + `}`, by(node)},
	} {
		m.add(a.name, "forbidden_header", Message{subject, map[string][]string{SignatureHeader: {forged(a.header, payload, a.sign)}}, payload}, nil)
	}
	h := signatureHeaderOf(node)
	m.add("signed as base64", "bad_signature", Message{subject, map[string][]string{SignatureHeader: {h + ".." +
		b64.EncodeToString(by(node)([]byte(h+"."+b64.EncodeToString(payload))))}}, payload}, nil)
}

func (m *maker) sealed(node, xdr, other *Key) {
	subject, payload := change(300)
	m.add("encrypted for somebody else", "not_recipient", sealed(m.t, node, subject, payload, other), nil)
	two := must(must(NewEncrypter(other, xdr))(m.t).Encrypt(payload))(m.t)
	m.add("recipients swapped by who may sign", "undecryptable", signed(m.t, node, subject, []byte(swapped(m.t, string(two)))), nil)
	good := signed(m.t, node, subject, two)
	m.add("recipients swapped on the way", "bad_signature", Message{subject, good.Header, []byte(swapped(m.t, string(two)))}, nil)
	var general map[string]any
	if err := json.Unmarshal(two, &general); err != nil {
		m.t.Fatal(err)
	}
	delete(general["recipients"].([]any)[0].(map[string]any), "header")
	m.add("a recipient without a header", "forbidden_header", signed(m.t, node, subject, must(json.Marshal(general))(m.t)), nil)
	one := string(must(must(NewEncrypter(xdr))(m.t).Encrypt(payload))(m.t))
	header, rest, _ := strings.Cut(one, ".")
	text := string(must(b64.DecodeString(header))(m.t))
	zipped := b64.EncodeToString([]byte(strings.Replace(text, `{`, `{"zip":"DEF",`, 1)))
	m.add("a JWE that asks for zip", "forbidden_header", signed(m.t, node, subject, []byte(zipped+"."+rest)), nil)
	direct := b64.EncodeToString([]byte(strings.Replace(text, "ECDH-ES+A256KW", "dir", 1)))
	m.add("a JWE with alg dir", "forbidden_header", signed(m.t, node, subject, []byte(direct+"."+rest)), nil)
	m.add("a character of the ciphertext changed by who may sign", "undecryptable", signed(m.t, node, subject, []byte(broken(one))), nil)
}

// broken has another character in the ciphertext of a compact JWE.
func broken(compact string) string {
	parts := strings.Split(compact, ".")
	c := []byte(parts[3])
	if c[5] == 'A' {
		c[5] = 'B'
	} else {
		c[5] = 'A'
	}
	parts[3] = string(c)
	return strings.Join(parts, ".")
}

// lastWill has the two messages that share a number: a heartbeat, and the last will that was
// renewed with it.
func (m *maker) lastWill(node *Key) {
	const security = `"security":{"source":"wazuh-manager","version":"0.1.0","sequence":350,"node":"node01","epoch":7,"issued_at":1716897360120,"subject":"`
	beat, will := "wazuh.xdr.manager.status.node01", "wazuh.xdr.alerts.node_lost"
	payload := []byte(`{"manager_status":{"manager_node":"node01","timestamp":1716897360},` + security + beat + `"}}`)
	m.add("a heartbeat", "good", signed(m.t, node, beat, payload), payload)
	payload = []byte(`{"node_lost":{"node":"node01","announced_by":"node01","timestamp":1716897390,"since":1716897360,"agents":2,"manager":"unknown","alert_level":13},` + security + will + `"}}`)
	m.add("the last will of that heartbeat, published half a minute later", "good", signed(m.t, node, will, payload), payload)
	m.add("the last will once more", "replayed", signed(m.t, node, will, payload), nil)
	m.add("the last will as a heartbeat", "wrong_subject", Message{Subject: beat, Header: signed(m.t, node, will, payload).Header, Data: payload}, nil)
}

func (m *maker) replayed(node *Key) {
	subject, payload := change(1)
	m.add("the first once more", "replayed", signed(m.t, node, subject, payload), nil)
	_, old := change(400)
	old = bytes.Replace(old, []byte(`"epoch":7`), []byte(`"epoch":6`), 1)
	m.add("of an earlier epoch", "replayed", signed(m.t, node, subject, old), nil)
	at := func(name, verdict, millis string) {
		_, payload := change(401)
		payload = bytes.Replace(payload, []byte(`"issued_at":1716897360120`), []byte(`"issued_at":`+millis), 1)
		m.add(name, verdict, signed(m.t, node, subject, payload), nil)
	}
	at("made two days ago", "stale", "1716724560120")
	at("made an hour from now", "future", "1716900960120")
	_, far := change(403)
	far = bytes.Replace(far, []byte(`"epoch":7`), []byte(`"epoch":4102444800`), 1)
	m.add("in an epoch of the far future", "future", signed(m.t, node, subject, far), nil)
	_, next := change(1)
	next = bytes.Replace(next, []byte(`"epoch":7`), []byte(`"epoch":8`), 1)
	m.add("the node has started again", "good", signed(m.t, node, subject, next), next)
	_, last := change(402)
	m.add("and what it said before does not count any more", "replayed", signed(m.t, node, subject, last), nil)
}
