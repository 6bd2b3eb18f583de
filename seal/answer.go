package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
)

// NonceHeader is the header of a question that makes it different from all others.
const NonceHeader = "Pulse-Nonce"

// Question is a question over NATS, as it is sent.
type Question struct {
	Subject string
	Nonce   string // the value of its NonceHeader
	Data    []byte
}

// NewQuestion returns a question that nobody has asked before.
func NewQuestion(subject string, data []byte) *Question {
	return &Question{subject, rand.Text(), data}
}

// Header is the header that the question is to be sent with.
func (q *Question) Header() map[string][]string {
	return map[string][]string{NonceHeader: {q.Nonce}}
}

// Digest returns what the signed answer has in its member "answers": the SHA-256, in
// base64url, of the lines "pulse question 1", subject and nonce, and the data behind them.
func (q *Question) Digest() string {
	h := sha256.New()
	fmt.Fprintf(h, "pulse question 1\n%s\n%s\n", q.Subject, q.Nonce)
	h.Write(q.Data)
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// askedNode returns the one node that is asked; "" for all.
func (q *Question) askedNode() string {
	token := strings.Split(q.Subject, ".")
	if len(token) < 3 || token[0] != "pulse" || token[1] == "agents" && token[2] != "status" && len(token) == 3 {
		return ""
	}
	return token[1]
}

// OpenAnswer reads the answer to a question over NATS: signed by a key that is known,
// decrypted, and made for this question. The question has to have a nonce, which only
// one question ever had: else an older answer would do.
func (o *Opener) OpenAnswer(q *Question, header map[string][]string, data []byte) ([]byte, error) {
	if q.Nonce == "" {
		return nil, fmt.Errorf("%w: the question has no nonce", ErrMalformed)
	}
	m := Message{Header: header, Data: data}
	key, err := o.verifySignature(m)
	if err != nil {
		return nil, err
	}
	payload, _, err := o.decryptPayload(m)
	if err != nil {
		return nil, err
	}
	var a struct {
		Answers string `json:"answers"`
		Node    string `json:"node"`
	}
	if err := parseInto(payload, &a); err != nil {
		return nil, err
	}
	switch asked := q.askedNode(); {
	case a.Answers != q.Digest():
		return nil, ErrWrongAnswer
	case key.Node != "" && key.Node != a.Node:
		return nil, fmt.Errorf("%w: %.60q names %.60q", ErrWrongNode, key.Node, a.Node)
	case asked != "" && asked != a.Node:
		return nil, fmt.Errorf("%w: %.60q answers for %.60q", ErrWrongNode, a.Node, asked)
	}
	return payload, nil
}
