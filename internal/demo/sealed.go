package demo

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/daemon"
	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/seal"
)

// equip sets whether the node signs and encrypts, and makes a key of the XDR
// platform's, which the demo plays.
func (s *stage) equip(cfg *config.Config, demo Config) error {
	cfg.NATS.MessageSigning, cfg.NATS.EncryptMessages = demo.Sign, demo.Encrypt
	files := daemon.KeyFiles(cfg)
	s.keys = files.PublicPath()
	if !demo.Encrypt {
		return nil
	}
	s.mine = filepath.Join(s.dir, "xdr.jwk")
	k, err := keys.Create(s.mine, seal.Encryption)
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

// trust reads the node's public keys, which are there when it is open.
func (s *stage) trust() error {
	public, err := keys.ReadPublic(s.keys)
	if err != nil {
		return err
	}
	s.opener = &seal.Opener{Guard: seal.NewGuard(seal.GuardConfig{})}
	if s.opener.Verifier, err = seal.NewVerifier(public...); err != nil || s.mine == "" {
		return err
	}
	mine, err := keys.ReadPrivateSet(s.mine)
	if err == nil {
		s.opener.Decrypter, err = seal.NewDecrypter(mine...)
	}
	return err
}

// cancelled is for a node that shall only close what it has opened.
func cancelled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// unseal verifies and decrypts a message. One that is refused counts, and is not heard.
func (p *play) unseal(m *nats.Msg) (payload []byte, good bool) {
	if p.opener == nil {
		return m.Data, true
	}
	opened, err := p.opener.Open(seal.Message{Subject: m.Subject, Header: m.Header, Data: m.Data})
	if errors.Is(err, seal.ErrReplayed) { // it came twice, as it may
		p.arrivals.repeated++
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

// announceKeys says how somebody else can read along.
func (p *play) announceKeys() {
	if p.opener == nil {
		return
	}
	what, decrypt := "signed", ""
	if p.mine != "" {
		what, decrypt = "signed and encrypted", " --decrypt "+p.mine
	}
	subject := ""
	if p.prefix != event.DefaultPrefix {
		subject = " --subject '" + p.prefix.All() + "'"
	}
	fmt.Fprintf(p.out, "They are %s, and count only if they are good. To check them yourself, in another terminal:\n\n"+
		"    pulse events --server %s%s --verify --keys %s%s\n\n", what, p.server, subject, p.keys, decrypt)
}
