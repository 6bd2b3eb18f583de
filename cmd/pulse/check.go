package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/seal"
)

// checkFlags say what messages are checked with.
type checkFlags struct {
	Keys    string `type:"existingfile" placeholder:"FILE" help:"The nodes' public keys, a JWKS: what pulse keys export prints."`
	Decrypt string `type:"existingfile" placeholder:"FILE" help:"The private key to read encrypted messages with."`
}

// opener returns what checks messages by the flags.
func (f *checkFlags) opener(cfg seal.GuardConfig) (*seal.Opener, error) {
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

// checked counts messages by what was found.
type checked struct {
	good, unread, bad int // unread: encrypted, and only its signature was checked
	missing           uint64
	came              register // nil: what is missing is not looked for
	under             string   // what the subjects of telemetry begin with, where all is heard
}

// check opens a message. What is encrypted for others is no error, and no text.
func (c *checked) check(o *seal.Opener, m seal.Message) (payload []byte, err error) {
	opened, err := o.Open(m)
	switch {
	case err == nil:
		c.good++
		if c.came != nil {
			c.came.note(opened, c.under)
		}
		return opened.Payload, nil
	case errors.Is(err, seal.ErrEncrypted):
		c.unread++
		return nil, nil
	}
	c.bad++
	return nil, err
}

func (c *checked) String() string {
	s := fmt.Sprintf("%d messages: %d good", c.good+c.unread+c.bad, c.good)
	if c.unread > 0 {
		s += fmt.Sprintf(", %d encrypted of which only the signature was checked (and is good)", c.unread)
	}
	s += fmt.Sprintf(", %d refused", c.bad)
	if c.came.looks() {
		s += fmt.Sprintf(", %d missing", c.missing)
	}
	return s
}

func (c *checked) err() error {
	if c.bad > 0 {
		return fmt.Errorf("messages refused: %d of %d", c.bad, c.good+c.unread+c.bad)
	}
	return nil
}

// storedMessage is a message as a line of JSON: with all it takes to check it later.
type storedMessage struct {
	Subject string              `json:"subject"`
	Headers map[string][]string `json:"headers"`
	Payload *string             `json:"payload,omitempty"`        // its bytes, which are UTF-8
	Bytes   []byte              `json:"payload_base64,omitempty"` // where they are not
}

func store(subject string, headers map[string][]string, data []byte) storedMessage {
	m := storedMessage{Subject: subject, Headers: headers}
	if utf8.Valid(data) {
		text := string(data)
		m.Payload = &text
	} else {
		m.Bytes = data
	}
	return m
}

func (m *storedMessage) message() seal.Message {
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
	return m.message(), nil
}
