package seal

import (
	"bytes"
	"fmt"
	"testing"
)

// answerTo is the answer of a node to a question.
func answerTo(q *Question, node string) []byte {
	return fmt.Appendf(nil, `{"node":%q,"agent":{"id":"001"},"answers":%q}`, node, q.Digest())
}

func TestAnAnswerIsThatToTheQuestion(t *testing.T) {
	node, xdr := namedKey("node01"), testEncryptionKey(t, "xdr")
	o := &Opener{Verifier: must(NewVerifier(node))(t)}
	q := NewQuestion("pulse.agents.get", []byte(`{"id":"001"}`))
	good := answerTo(q, "node01")
	m := signed(t, node, "", good)
	if text, err := o.OpenAnswer(q, m.Header, m.Data); err != nil || !bytes.Equal(text, good) {
		t.Errorf("%s, %v", text, err)
	}
	_, err := o.OpenAnswer(q, nil, m.Data)
	wantError(t, "without a signature", err, ErrUnsigned)

	again := NewQuestion(q.Subject, q.Data)
	_, err = o.OpenAnswer(again, m.Header, m.Data)
	wantError(t, "to the same question, asked before", err, ErrWrongAnswer)
	for name, other := range map[string]*Question{
		"to another subject":    {"pulse.agents.ping", q.Nonce, q.Data},
		"about another":         {q.Subject, q.Nonce, []byte(`{"id":"002"}`)},
		"with the border moved": {q.Subject + "\n" + q.Nonce[:1], q.Nonce[1:], q.Data},
	} {
		_, err := o.OpenAnswer(other, m.Header, m.Data)
		wantError(t, name, err, ErrWrongAnswer)
	}
	_, err = o.OpenAnswer(&Question{q.Subject, "", q.Data}, m.Header, m.Data)
	wantError(t, "to a question without a nonce", err, ErrMalformed)

	subject, payload := change(5)
	m = signed(t, node, subject, payload)
	_, err = o.OpenAnswer(q, m.Header, m.Data)
	wantError(t, "a message in its place", err, ErrWrongAnswer)
	m = signed(t, node, "", []byte("no JSON"))
	_, err = o.OpenAnswer(q, m.Header, m.Data)
	wantError(t, "no JSON", err, ErrMalformed)
	m = signed(t, node, "", answerTo(q, "node02"))
	_, err = o.OpenAnswer(q, m.Header, m.Data)
	wantError(t, "in the name of another node", err, ErrWrongNode)

	o.Decrypter = must(NewDecrypter(xdr))(t)
	m = sealed(t, node, "", good, xdr)
	if text, err := o.OpenAnswer(q, m.Header, m.Data); err != nil || !bytes.Equal(text, good) {
		t.Errorf("encrypted: %s, %v", text, err)
	}
}

func TestANodeDoesNotAnswerForAnother(t *testing.T) {
	node := namedKey("node02")
	o := &Opener{Verifier: must(NewVerifier(node))(t)}
	for subject, want := range map[string]error{
		"pulse.agents.list": nil, "pulse.status": nil, "pulse.node02.agents.list": nil, "pulse.node02.status": nil,
		"pulse.node01.agents.list": ErrWrongNode, "pulse.node01.status": ErrWrongNode, "pulse.agents.status": ErrWrongNode, "pulse.agents.agents.list": ErrWrongNode,
	} {
		q := NewQuestion(subject, nil)
		m := signed(t, node, "", answerTo(q, "node02"))
		_, err := o.OpenAnswer(q, m.Header, m.Data)
		wantError(t, subject, err, want)
	}
}

// The digest is part of the contract: programs in other languages make it, too.
func TestTheDigestOfAQuestion(t *testing.T) {
	q := &Question{"pulse.agents.get", "6f1c", []byte(`{"id":"001"}`)}
	if got := q.Digest(); got != "iUbs_SlviBQ_sDbgqBkPeMDGvp4ICDdHKQJmMSZlx24" {
		t.Errorf("%s", got)
	}
}

// namedKey is a node's key that may sign for it alone.
func namedKey(node string) *Key {
	k := testSigningKey(node)
	k.Node = node
	return k
}

// FuzzOpenAnswer holds what is taken for an answer against what was signed for one.
func FuzzOpenAnswer(f *testing.F) {
	node, xdr := namedKey("node01"), testEncryptionKey(f, "xdr")
	q := &Question{"pulse.node01.agents.get", "6f1c", []byte(`{"id":"001"}`)}
	good := answerTo(q, "node01")
	subject, payload := change(5)
	for _, m := range []Message{signed(f, node, "", good), sealed(f, node, "", good, xdr), signed(f, node, subject, payload), signed(f, node, "", answerTo(q, "node02"))} {
		f.Add(m.Header[SignatureHeader][0], m.Data, false)
		f.Add("", m.Data, true)
	}
	f.Fuzz(func(t *testing.T, signature string, data []byte, sign bool) {
		o := &Opener{Verifier: must(NewVerifier(node))(t), Decrypter: must(NewDecrypter(xdr))(t), AllowPlain: true}
		header := map[string][]string{SignatureHeader: {signature}}
		if sign {
			header = signed(t, node, "", data).Header
		}
		text, err := o.OpenAnswer(q, header, data)
		if err == nil && (!bytes.Contains(text, []byte(q.Digest())) || !bytes.Contains(text, []byte("node01"))) {
			t.Errorf("%q is taken for an answer", text)
		}
	})
}
