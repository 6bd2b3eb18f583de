package sealing

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/seal"
)

// KeyFiles returns where a node has its keys.
func KeyFiles(cfg *config.Config) keys.Files {
	return keys.Files{Node: cfg.Pulse.NodeName, StateDir: cfg.Pulse.StateDir, Signing: cfg.NATS.SigningKeyFile}
}

// recipients are those whom messages are encrypted for.
type recipients struct {
	all    *seal.Encrypter
	stored *seal.Encrypter // for them and the node, which reads its STATUS stream when it starts
}

// readRecipients reads the recipients of the settings; nil if nothing is encrypted.
func (s *Sealer) readRecipients(cfg *config.Config) (*recipients, error) {
	if !cfg.NATS.Enabled || !cfg.NATS.EncryptMessages {
		return nil, nil
	}
	r := new(recipients)
	to, err := ReadRecipients(cfg)
	if err == nil {
		r.all, err = seal.NewEncrypter(to...)
	}
	if err == nil {
		r.stored, err = seal.NewEncrypter(append(to, s.readingKey)...)
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt messages (<nats><encrypt_messages>): %w", err)
	}
	return r, nil
}

// PrepareReload reads the recipients of other settings. The function it returns puts
// them into effect, and reports whether they differ from those before.
func (s *Sealer) PrepareReload(cfg *config.Config) (apply func() (changed bool), err error) {
	to, err := s.readRecipients(cfg)
	if err != nil {
		return nil, err
	}
	return func() bool { return s.recipients.Swap(to).listIDs() != to.listIDs() }, nil
}

// RecipientIDs returns the IDs of the recipients' keys, a space before each.
func (s *Sealer) RecipientIDs() string { return s.recipients.Load().listIDs() }

func (r *recipients) listIDs() (text string) {
	if r != nil {
		for _, k := range r.all.Recipients() {
			text += " " + k.ID()
		}
	}
	return text
}

// ReadRecipients reads the keys that messages are encrypted for.
func ReadRecipients(cfg *config.Config) ([]*seal.Key, error) {
	to, err := keys.ReadPublic(cfg.NATS.RecipientsFile)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; on the XDR platform's side, pulse keys generate --use enc FILE makes a key, and pulse keys export FILE its public part, to be put here", err)
	}
	if err == nil {
		_, err = seal.NewEncrypter(to...)
	}
	if err != nil {
		return nil, fmt.Errorf("the recipients (<nats><recipients_file>): %w", err)
	}
	return to, nil
}

// CheckKeys reads the keys as a starting node does, and makes none.
func CheckKeys(cfg *config.Config) error {
	if !cfg.NATS.Enabled {
		return nil
	}
	files := KeyFiles(cfg)
	if cfg.NATS.MessageSigning {
		k, err := keys.ReadPrivate(files.SigningPath())
		if _, missing := errors.AsType[*fs.PathError](err); err != nil && !missing { // else it is made, or the start says why not
			return fmt.Errorf("<nats><signing_key_file>: %w", err)
		}
		if err == nil && k.Use() != seal.Signing {
			return fmt.Errorf("<nats><signing_key_file>: %s: it is an encryption key", files.SigningPath())
		}
	}
	if cfg.NATS.EncryptMessages {
		if _, err := ReadRecipients(cfg); err != nil {
			return err
		}
	}
	return nil
}
