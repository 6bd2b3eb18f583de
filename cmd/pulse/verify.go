package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"

	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/plural"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/seal"
)

type verifyCommand struct {
	checkFlags
	File   string        `arg:"" placeholder:"FILE" help:"The messages, one a line; - for standard input."`
	MaxAge time.Duration `placeholder:"DURATION" help:"Refuse older messages. Default: no limit."`
	Part   bool          `help:"The messages are only a part of those published, such as one agent's: do not check for missing ones."`
	JSON   bool          `help:"Print each problem as a JSON object, one a line, and the result as the last one."`
}

func (*verifyCommand) Help() string {
	return `Each line is a message with its subject, headers and payload, as pulse events --stored writes it:

    pulse events --stored > messages
    pulse verify --keys pulse-public.jwks messages
    pulse verify --keys pulse-public.jwks --decrypt xdr.jwk - < messages

Every bad line is printed with what is wrong, and so are missing messages: a node numbers its messages without a gap (sequence,
in an epoch), which is checked from the first one in the file on. In both cases the exit code is 1. Messages cut off at the
beginning or the end cannot be detected by their numbers. Without --decrypt, of encrypted messages only the signature is checked.`
}

// maxStoredLine is the longest line, in bytes: far more than the largest message.
const maxStoredLine = 8 << 20

func (c *verifyCommand) Run(e *env) error {
	if c.Keys == "" {
		return usageError{errors.New("--keys: name the file of public keys to verify with")}
	}
	cfg := seal.GuardConfig{MaxAge: -1}
	if c.MaxAge > 0 {
		cfg.MaxAge = c.MaxAge
	}
	o, err := c.newOpener(cfg)
	if err != nil {
		return err
	}
	var from io.Reader = os.Stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		from = f
	}
	var found checkCounts
	if !c.Part {
		found.received = sequenceTracker{}
	}
	lines := bufio.NewScanner(from)
	lines.Buffer(make([]byte, 1<<16), maxStoredLine)
	for n := 1; lines.Scan() && e.ctx.Err() == nil; n++ {
		if line := bytes.TrimSpace(lines.Bytes()); len(line) > 0 {
			if err := c.checkLine(o, &found, line); err != nil {
				c.printProblem(e.stdout, &verifyFinding{Kind: "refused", Line: n, Problem: err.Error()})
			}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", c.File, err)
	}
	found.missing = found.received.reportMissing(func(which string) { c.printProblem(e.stdout, &verifyFinding{Kind: "missing", Problem: which}) })
	if c.JSON {
		_ = json.NewEncoder(e.stdout).Encode(found.result()) // e.stdout keeps the error of a failed write
	} else {
		fmt.Fprintln(e.stdout, found.String())
	}
	err = found.errIfRefused()
	if err == nil && found.missing > 0 {
		err = fmt.Errorf("messages missing: %d", found.missing)
	}
	return err
}

func (c *verifyCommand) checkLine(o *seal.Opener, found *checkCounts, line []byte) error {
	m, err := readStored(line)
	if err != nil {
		found.bad++
	} else {
		_, err = found.checkMessage(o, m)
	}
	if err != nil && m.Subject != "" {
		err = fmt.Errorf("%s: %w", m.Subject, err)
	}
	return err
}

// verifyFinding is a problem in JSON: a message that is refused, or some that are missing.
type verifyFinding struct {
	Kind    string `json:"kind"`
	Line    int    `json:"line,omitempty"` // of the file, from 1
	Problem string `json:"problem"`
}

// verifyResult is the last line of JSON.
type verifyResult struct {
	Kind          string  `json:"kind"` // result
	Messages      int     `json:"messages"`
	Good          int     `json:"good"`
	SignatureOnly int     `json:"signature_only"` // encrypted, with a good signature
	Refused       int     `json:"refused"`
	Missing       *uint64 `json:"missing"` // null: not searched for
}

func (c *verifyCommand) printProblem(w io.Writer, f *verifyFinding) {
	switch {
	case c.JSON:
		_ = json.NewEncoder(w).Encode(f) // e.stdout keeps the error of a failed write
	case f.Line > 0:
		fmt.Fprintln(w, printable.Only(fmt.Sprintf("line %d: %s", f.Line, f.Problem)))
	default:
		fmt.Fprintln(w, printable.Only(f.Kind+": "+f.Problem))
	}
}

// checkFlags are the keys to check messages with.
type checkFlags struct {
	Keys    string `type:"existingfile" placeholder:"FILE" help:"The nodes' public keys, a JWKS: what pulse keys export prints."`
	Decrypt string `type:"existingfile" placeholder:"FILE" help:"The private key to read encrypted messages with."`
}

func (f *checkFlags) newOpener(cfg seal.GuardConfig) (*seal.Opener, error) {
	trusted, err := keys.ReadPublic(f.Keys)
	if err != nil {
		return nil, usageError{fmt.Errorf("--keys: %w", err)}
	}
	o := &seal.Opener{Guard: seal.NewGuard(cfg)}
	if o.Verifier, err = seal.NewVerifier(trusted...); err != nil {
		return nil, usageError{fmt.Errorf("--keys %s: %w", f.Keys, err)}
	}
	if f.Decrypt == "" {
		return o, nil
	}
	mine, err := keys.ReadPrivateSet(f.Decrypt)
	if err == nil {
		o.Decrypter, err = seal.NewDecrypter(mine...)
	}
	if err != nil {
		return nil, usageError{fmt.Errorf("--decrypt: %w", err)}
	}
	return o, nil
}

// checkCounts counts checked messages.
type checkCounts struct {
	good, unread, bad int // unread: encrypted, and only its signature was checked
	missing           uint64
	received          sequenceTracker // nil: missing messages are not searched for
	telemetryPrefix   string          // of the telemetry's subjects, if all is received
}

// checkMessage opens a message. One that is encrypted for others has no payload, and is no error.
func (c *checkCounts) checkMessage(o *seal.Opener, m seal.Message) (payload []byte, err error) {
	opened, err := o.Open(m)
	switch {
	case err == nil:
		c.good++
		if c.received != nil {
			c.received.addMessage(opened, c.telemetryPrefix)
		}
		return opened.Payload, nil
	case errors.Is(err, seal.ErrEncrypted):
		c.unread++
		return nil, nil
	}
	c.bad++
	return nil, err
}

func (c *checkCounts) String() string {
	s := fmt.Sprintf("%s: %d good", plural.CountNoun(c.good+c.unread+c.bad, "message"), c.good)
	if c.unread > 0 {
		s += fmt.Sprintf(", %d encrypted of which only the signature was checked (and is good)", c.unread)
	}
	s += fmt.Sprintf(", %d refused", c.bad)
	if c.received.hasDue() {
		s += fmt.Sprintf(", %d missing", c.missing)
	}
	return s
}

func (c *checkCounts) result() verifyResult {
	r := verifyResult{Kind: "result", Messages: c.good + c.unread + c.bad, Good: c.good, SignatureOnly: c.unread, Refused: c.bad}
	if c.received.hasDue() {
		r.Missing = &c.missing
	}
	return r
}

func (c *checkCounts) errIfRefused() error {
	if c.bad > 0 {
		return fmt.Errorf("messages refused: %d of %d", c.bad, c.good+c.unread+c.bad)
	}
	return nil
}

// storedMessage is a message as a line of JSON, with all that is needed to check it later.
type storedMessage struct {
	Subject string              `json:"subject"`
	Headers map[string][]string `json:"headers"`
	Payload *string             `json:"payload,omitempty"`        // its bytes, which are UTF-8
	Bytes   []byte              `json:"payload_base64,omitempty"` // where they are not
}

func newStoredMessage(subject string, headers map[string][]string, data []byte) storedMessage {
	m := storedMessage{Subject: subject, Headers: headers}
	if utf8.Valid(data) {
		text := string(data)
		m.Payload = &text
	} else {
		m.Bytes = data
	}
	return m
}

func (m *storedMessage) toSealMessage() seal.Message {
	data := m.Bytes
	if m.Payload != nil {
		data = []byte(*m.Payload)
	}
	return seal.Message{Subject: m.Subject, Header: m.Headers, Data: data}
}

func readStored(line []byte) (seal.Message, error) {
	var m storedMessage
	if err := json.Unmarshal(line, &m); err != nil {
		return seal.Message{}, fmt.Errorf("no stored message: %w", err)
	}
	if m.Subject == "" {
		return seal.Message{}, errors.New("no stored message: it has no subject")
	}
	return m.toSealMessage(), nil
}
