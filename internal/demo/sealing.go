package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/sealing"
	"github.com/wazuh-pulse/pulse/seal"
)

// configureKeys sets whether the node signs and encrypts, and makes the key of
// the XDR platform, whose role the demo plays.
func (s *environment) configureKeys(cfg *config.Config, demo Config) error {
	cfg.NATS.MessageSigning, cfg.NATS.EncryptMessages = demo.Sign, demo.Encrypt
	files := sealing.KeyFiles(cfg)
	s.publicKeys = files.PublicPath()
	if !demo.Encrypt {
		return nil
	}
	s.decryptKey = filepath.Join(s.dir, "xdr.jwk")
	k, err := keys.CreatePrivate(s.decryptKey, seal.Encryption)
	if err != nil {
		return err
	}
	text, err := seal.MarshalKeys(k)
	if err != nil {
		return err
	}
	cfg.NATS.RecipientsFile = filepath.Join(s.dir, "recipients.jwks")
	return keyfile.Write(cfg.NATS.RecipientsFile, text, 0o644, true)
}

// loadVerifier reads the node's public keys, which exist once the node is
// open.
func (s *environment) loadVerifier() error {
	public, err := keys.ReadPublic(s.publicKeys)
	if err != nil {
		return err
	}
	s.opener = &seal.Opener{Guard: seal.NewGuard(seal.GuardConfig{})}
	if s.opener.Verifier, err = seal.NewVerifier(public...); err != nil || s.decryptKey == "" {
		return err
	}
	mine, err := keys.ReadPrivateSet(s.decryptKey)
	if err == nil {
		s.opener.Decrypter, err = seal.NewDecrypter(mine...)
	}
	return err
}

// cancelledContext returns a context for a node that must only close what it
// has opened.
func cancelledContext() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// openMessage verifies and decrypts a message. One that is refused is counted,
// and not handled.
func (p *demoRun) openMessage(m *nats.Msg) (payload []byte, good bool) {
	if p.opener == nil {
		return m.Data, true
	}
	opened, err := p.opener.Open(seal.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
	if errors.Is(err, seal.ErrReplayed) { // duplicates are allowed
		p.sequences.repeated++
		return nil, false
	}
	if err != nil {
		if p.report.Refused++; p.report.Refused == 1 {
			p.report.Refusal = fmt.Sprintf("%s: %v", m.Subject, err)
		}
		return nil, false
	}
	p.report.Verified++
	return opened.Payload, true
}

// printKeys prints how to read along in another terminal.
func (p *demoRun) printKeys() {
	if p.opener == nil {
		return
	}
	what, decrypt := "signed", ""
	if p.decryptKey != "" {
		what, decrypt = "signed and encrypted", " --decrypt "+p.decryptKey
	}
	subject := ""
	if p.prefix != event.DefaultPrefix {
		subject = " --subject '" + p.prefix.All() + "'"
	}
	fmt.Fprintf(p.out, "They are %s, and count only if they are good. To check them yourself, in another terminal:\n\n"+
		"    pulse events --server %s%s --verify --keys %s%s\n\n", what, p.server, subject, p.publicKeys, decrypt)
}
