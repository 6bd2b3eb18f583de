package seal

import (
	"bytes"
	"encoding/json"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

func TestAGoodMessageIsOpened(t *testing.T) {
	node, xdr := testSigningKey("node01"), testEncryptionKey(t, "xdr")
	node.Node = "node01"
	subject, payload := change(12345)
	for name, m := range map[string]Message{
		"in the clear":                signed(t, node, subject, payload),
		"encrypted":                   sealed(t, node, subject, payload, xdr),
		"encrypted for two":           sealed(t, node, subject, payload, testEncryptionKey(t, "node"), xdr),
		"with headers of JetStream":   {subject, withHeader(signed(t, node, subject, payload).Header, "Nats-Msg-Id", "x"), payload},
		"with more fields than known": signed(t, node, subject, bytes.Replace(payload, []byte(`{"status_change":{`), []byte(`{"new":[1],"status_change":{"also":{"new":1},`), 1)),
	} {
		o := opener(t, node)
		o.Decrypter, o.AllowPlain, o.Guard = must(NewDecrypter(xdr))(t), true, NewGuard(GuardConfig{})
		got, err := o.Open(m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		c, ok := got.Message.(*event.StatusChangeMessage)
		if !ok || c.StatusChange.AgentName != "web-server-01" || got.Security.Sequence != 12345 || got.Key.ID() != node.ID() ||
			got.Encrypted != strings.HasPrefix(name, "encrypted") || !got.Guard.NewEpoch {
			t.Errorf("%s: %+v", name, got)
		}
		_, err = o.Open(m)
		wantError(t, name+", again", err, ErrReplayed)
	}
}

func withHeader(h map[string][]string, name string, values ...string) map[string][]string {
	h = maps.Clone(h)
	h[name] = values
	return h
}

func TestEveryKindOfMessageIsTold(t *testing.T) {
	k := testSigningKey("node01")
	subject, payload := change(1)
	_, security, _ := bytes.Cut(payload, []byte(`,"security"`))
	for part, want := range map[string]func(any) bool{
		"event":            is[*event.KeepAliveMessage],
		"status_change":    is[*event.StatusChangeMessage],
		"manager_status":   is[*event.ManagerStatusMessage],
		"fleet_outage":     is[*event.FleetOutageMessage],
		"fleet_recovered":  is[*event.FleetOutageMessage],
		"agent_flapping":   is[*event.AgentFlappingMessage],
		"node_lost":        is[*event.NodeLostMessage],
		"node_back":        is[*event.NodeLostMessage],
		"agent_duplicated": is[*event.AgentDuplicatedMessage],
		"of_tomorrow":      func(m any) bool { return m == nil },
	} {
		got, err := opener(t, k).Open(signed(t, k, subject, []byte(`{"`+part+`":{},"security"`+string(security))))
		if err != nil || !want(got.Message) {
			t.Errorf("%s: %+v, %v", part, got, err)
		}
	}
}

func is[T any](m any) bool { _, ok := m.(T); return ok }

func TestWhatIsWrongWithAMessageIsSaid(t *testing.T) {
	node, xdr, other := testSigningKey("node01"), testEncryptionKey(t, "xdr"), testEncryptionKey(t, "other")
	subject, payload := change(5)
	good := signed(t, node, subject, payload)
	bound := testSigningKey("bound")
	bound.Node = "node02"
	changed := func(old, new string) Message {
		text := strings.Replace(string(payload), old, new, 1)
		if text == string(payload) {
			t.Fatalf("%q is not in it", old)
		}
		return signed(t, node, subject, []byte(text))
	}
	plain := opener(t, node, bound)
	plain.Guard = NewGuard(GuardConfig{MaxAge: time.Hour})
	decrypting := opener(t, node)
	decrypting.Decrypter = must(NewDecrypter(xdr))(t)
	for _, tt := range []struct {
		name string
		by   *Opener
		m    Message
		want error
	}{
		{"no headers", plain, Message{subject, nil, payload}, ErrUnsigned},
		{"an empty signature", plain, Message{subject, withHeader(good.Header, SignatureHeader, ""), payload}, ErrUnsigned},
		{"two signatures", plain, Message{subject, withHeader(good.Header, SignatureHeader, good.Header[SignatureHeader][0], "x"), payload}, ErrMalformed},
		{"a header in another case", plain, Message{subject, map[string][]string{"pulse-signature": good.Header[SignatureHeader]}, payload}, ErrUnsigned},
		{"a changed payload", plain, Message{subject, good.Header, bytes.Replace(payload, []byte(`"current_status":1`), []byte(`"current_status":0`), 1)}, ErrBadSignature},
		{"nobody is trusted", new(Opener), good, ErrUnknownKey},
		{"somebody else's key", plain, signed(t, testSigningKey("x"), subject, payload), ErrUnknownKey},
		{"another node's key", plain, signed(t, bound, subject, payload), ErrWrongNode},
		{"another subject", plain, Message{"wazuh.xdr.agent.002.status_change", good.Header, payload}, ErrWrongSubject},
		{"encrypted, and no key", plain, sealed(t, node, subject, payload, xdr), ErrEncrypted},
		{"encrypted for two, and no key", plain, sealed(t, node, subject, payload, xdr, other), ErrEncrypted},
		{"in the clear, where it has to be encrypted", decrypting, good, ErrNotEncrypted},
		{"for others", decrypting, sealed(t, node, subject, payload, other), ErrNotRecipient},
		{"signed inside only", decrypting, Message{subject, good.Header, must(must(NewEncrypter(xdr))(t).Encrypt(payload))(t)}, ErrBadSignature},
		{"recipients swapped", decrypting, signed(t, node, subject, []byte(swapped(t, string(must(must(NewEncrypter(other, xdr))(t).Encrypt(payload))(t))))), ErrUndecryptable},
		{"an envelope in an envelope", decrypting, sealed(t, node, subject, must(must(NewEncrypter(xdr))(t).Encrypt(payload))(t), xdr), ErrMalformed},
		{"too old", &Opener{Verifier: plain.Verifier, Guard: plain.Guard, Now: func() time.Time { return madeAt.Add(2 * time.Hour) }}, good, ErrStale},
		{"from the future", &Opener{Verifier: plain.Verifier, Guard: plain.Guard, Now: func() time.Time { return madeAt.Add(-time.Hour) }}, good, ErrFuture},
		{"no JSON", plain, signed(t, node, subject, []byte("hello")), ErrMalformed},
		{"nothing", plain, signed(t, node, subject, nil), ErrMalformed},
		{"no security", plain, signed(t, node, subject, []byte(`{"status_change":{}}`)), ErrMalformed},
		{"null", plain, signed(t, node, subject, []byte(`null`)), ErrMalformed},
		{"more after it", plain, signed(t, node, subject, append(bytes.Clone(payload), "{}"...)), ErrMalformed},
		{"a name twice", plain, changed(`"sequence":5`, `"sequence":4,"sequence":5`), ErrMalformed},
		{"a name twice, once in capitals", plain, changed(`"sequence":5`, `"SEQUENCE":4,"sequence":5`), ErrMalformed},
		{"a name twice, once with a long s", plain, changed(`"sequence":5`, `"ſequence":4,"sequence":5`), ErrMalformed},
		{"two bodies", plain, changed(`{"status_change"`, `{"event":{},"status_change"`), ErrMalformed},
		{"a number as text", plain, changed(`"current_status":1`, `"current_status":"1"`), ErrMalformed},
		{"a sequence below zero", plain, changed(`"sequence":5`, `"sequence":-5`), ErrMalformed},
		{"no sequence", plain, changed(`"sequence":5`, `"sequence":0`), ErrMalformed},
		{"another source", plain, changed(`"wazuh-manager"`, `"wazuh"`), ErrMalformed},
		{"a node that is none", plain, changed(`"node":"node01"`, `"node":"a.b"`), ErrMalformed},
		{"a node of great length", plain, changed(`"node":"node01"`, `"node":"`+strings.Repeat("n", 129)+`"`), ErrMalformed},
		{"no UTF-8", plain, changed("web-server", "web\xffserver"), ErrMalformed},
		{"nested too deep", plain, changed(`{"status_change"`, `{"x":`+strings.Repeat("[", 100)+strings.Repeat("]", 100)+`,"status_change"`), ErrMalformed},
	} {
		_, err := tt.by.Open(tt.m)
		wantError(t, tt.name, err, tt.want)
	}
	if _, err := plain.Open(good); err != nil {
		t.Errorf("the good one, after all these: %v", err)
	}
}

func TestEveryChangedByteOfAnEncryptedMessageIsRefused(t *testing.T) {
	node, xdr := testSigningKey("node01"), testEncryptionKey(t, "xdr")
	subject, payload := change(5)
	o := opener(t, node)
	o.Decrypter = must(NewDecrypter(xdr))(t)
	m := sealed(t, node, subject, payload, xdr, testEncryptionKey(t, "node"))
	for i := range m.Data {
		m.Data[i] ^= 0x10
		_, err := o.Open(m)
		wantError(t, "changed", err, ErrBadSignature)
		m.Data[i] ^= 0x10
	}
	if _, err := o.Open(m); err != nil {
		t.Error(err)
	}
}

func TestAnAgentsStateIsOpened(t *testing.T) {
	node, xdr := testSigningKey("node01"), testEncryptionKey(t, "xdr")
	node.Node = "node01"
	value := must(json.Marshal(event.AgentState{AgentID: "001", AgentName: "web-server-01", Node: "node01", Epoch: 7, Sequence: 5}))(t)
	o := opener(t, node)
	m := signed(t, node, "", value)
	if s, err := o.OpenState("001", m.Header, m.Data); err != nil || s.AgentName != "web-server-01" {
		t.Errorf("%+v, %v", s, err)
	}
	_, err := o.OpenState("002", m.Header, m.Data)
	wantError(t, "under another key", err, ErrWrongSubject)
	_, err = o.OpenState("001", nil, m.Data)
	wantError(t, "unsigned", err, ErrUnsigned)
	m = signed(t, node, "", bytes.Replace(value, []byte("node01"), []byte("node02"), 1))
	_, err = o.OpenState("001", m.Header, m.Data)
	wantError(t, "of another node", err, ErrWrongNode)
	subject, payload := change(5)
	m = signed(t, node, subject, payload)
	_, err = o.OpenState("001", m.Header, m.Data)
	wantError(t, "a message in its place", err, ErrWrongSubject)
	m = signed(t, node, "x", value)
	m.Subject = "x"
	_, err = o.Open(m)
	wantError(t, "a state in the place of a message", err, ErrMalformed)

	o.Decrypter = must(NewDecrypter(xdr))(t)
	m = sealed(t, node, "", value, xdr)
	if s, err := o.OpenState("001", m.Header, m.Data); err != nil || s.Epoch != 7 {
		t.Errorf("%+v, %v", s, err)
	}
}

// FuzzOpen holds what opens against what was sealed.
func FuzzOpen(f *testing.F) {
	node, xdr := testSigningKey("node01"), testEncryptionKey(f, "xdr")
	subject, payload := change(5)
	for _, m := range []Message{signed(f, node, subject, payload), sealed(f, node, subject, payload, xdr), sealed(f, node, subject, payload, xdr, testEncryptionKey(f, "node"))} {
		f.Add(m.Header[SignatureHeader][0], m.Data, false)
		f.Add(m.Header[SignatureHeader][0], m.Data, true)
	}
	f.Add("..", []byte(`{"recipients":[]}`), true)
	f.Fuzz(func(t *testing.T, signature string, data []byte, sign bool) {
		o := opener(t, node)
		o.Decrypter, o.AllowPlain, o.Guard = must(NewDecrypter(xdr))(t), true, NewGuard(GuardConfig{Window: 64})
		m := Message{subject, map[string][]string{SignatureHeader: {signature}}, data}
		if sign { // what a node signs that is not quite in its senses
			m = signed(t, node, subject, data)
		}
		got, err := o.Open(m)
		if err != nil {
			return
		}
		if got.Security.Subject != subject || got.Security.Sequence == 0 || got.Key.ID() != node.ID() {
			t.Errorf("%+v", got)
		}
		if _, err := o.Open(m); err == nil {
			t.Error("it opens twice")
		}
	})
}
