// Package sealing signs and encrypts what a node publishes, with the keys that its
// settings name, and decrypts what it has stored.
//
// A [Sealer] may be used concurrently. It starts goroutines only within a call.
package sealing

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/query"
	"github.com/wazuh-pulse/pulse/internal/statedir"
	"github.com/wazuh-pulse/pulse/seal"
)

// Sealer signs and encrypts messages. The zero value does neither.
type Sealer struct {
	Files      keys.Files
	FormerName string                     // of the node at its last start, if it has another one now
	signer     *seal.Signer               // nil: nothing is signed
	recipients atomic.Pointer[recipients] // nil: nothing is encrypted
	readingKey *seal.Key                  // the node's own; what is stored is encrypted for it, too
	decrypter  *seal.Decrypter            // nil: the node never encrypted anything
}

// Open reads the keys. Those of the node itself are made if they are not there; those
// that a full disk does not take are pending.
func Open(cfg *config.Config, pending *statedir.PendingWrites) (*Sealer, error) {
	s := &Sealer{Files: KeyFiles(cfg)}
	if cfg.NATS.MessageSigning {
		s.FormerName = s.Files.FormerName()
		k, write, err := s.Files.OpenOrHoldSigning()
		if err == nil {
			s.signer, err = seal.NewSigner(k)
		}
		if err == nil {
			err = s.recordSigner(k, write, pending)
		}
		if err != nil {
			return nil, fmt.Errorf("sign messages (<nats><message_signing>): %w", err)
		}
	}
	own, write, err := s.openReadingKey(cfg.NATS.EncryptMessages)
	if err == nil && own != nil {
		pending.PostponeKey("reading.jwk", write)
		s.decrypter, err = seal.NewDecrypter(own)
	}
	if err != nil {
		return nil, err
	}
	if !cfg.NATS.EncryptMessages {
		return s, nil
	}
	s.readingKey = own
	to, err := s.readRecipients(cfg)
	if err != nil {
		return nil, err
	}
	s.recipients.Store(to)
	return s, nil
}

// recordSigner records which key signs from now on. A full disk delays that; write, if not nil, writes the key itself then.
func (s *Sealer) recordSigner(k *seal.Key, write func() error, pending *statedir.PendingWrites) error {
	record := func() error { return s.Files.RecordSigner(k) }
	if write != nil {
		pending.PostponeKey("signing.jwk, public.jwks", func() error { return errors.Join(write(), record()) })
		return nil
	}
	err := record()
	if statedir.IsFull(err) {
		pending.Postpone("signing.kid", err, record)
		return nil
	}
	return err
}

// openReadingKey opens the key with which the node decrypts its own messages.
func (s *Sealer) openReadingKey(create bool) (k *seal.Key, write func() error, err error) {
	if create {
		return s.Files.OpenOrHoldReading()
	}
	k, err = s.Files.OpenReading(false)
	return k, nil, err
}

// Signs reports whether messages are signed.
func (s *Sealer) Signs() bool { return s.signer != nil }

// Signer returns what signs with the node's key; nil if nothing is signed.
func (s *Sealer) Signer() *seal.Signer { return s.signer }

// HasEncrypted reports whether stored messages may be encrypted.
func (s *Sealer) HasEncrypted() bool { return s.decrypter != nil }

// minBatch is how many messages are worth another goroutine: a signature takes 40 µs.
const minBatch = 8

// SealMessages signs and encrypts messages in place, on all processors if they are many.
func (s *Sealer) SealMessages(messages []outbox.Message) error {
	if !s.isActive() {
		return nil
	}
	workers := min(runtime.GOMAXPROCS(0), (len(messages)+minBatch-1)/minBatch)
	failed := make([]error, workers)
	var working sync.WaitGroup
	for w := range workers {
		part := messages[len(messages)*w/workers : len(messages)*(w+1)/workers]
		if w == workers-1 {
			failed[w] = s.sealBatch(part)
			break
		}
		working.Go(func() { failed[w] = s.sealBatch(part) })
	}
	working.Wait()
	return errors.Join(failed...)
}

func (s *Sealer) sealBatch(messages []outbox.Message) (err error) {
	recipients := s.recipients.Load()
	for i := range messages {
		m := &messages[i]
		if recipients != nil {
			to := recipients.all
			if m.Class == outbox.Status {
				to = recipients.stored
			}
			if m.Data, err = to.Encrypt(m.Data); err != nil {
				return err
			}
			m.ContentType = to.ContentType()
		}
		if s.signer != nil {
			m.Signature = s.signer.Sign(m.Data)
		}
	}
	return nil
}

func (s *Sealer) isActive() bool { return s.signer != nil || s.recipients.Load() != nil }

// ValueSeal returns what seals a value of a key-value bucket: it returns the data and
// its headers. It is nil if nothing is sealed.
func (s *Sealer) ValueSeal() func([]byte) ([]byte, map[string][]string, error) {
	if !s.isActive() {
		return nil
	}
	return s.sealText
}

func (s *Sealer) sealText(text []byte) (data []byte, header map[string][]string, err error) {
	header = make(map[string][]string, 2)
	if to := s.recipients.Load(); to != nil {
		if text, err = to.all.Encrypt(text); err != nil {
			return nil, nil, err
		}
		header["Content-Type"] = []string{to.all.ContentType()}
	}
	if s.signer != nil {
		header[seal.SignatureHeader] = []string{s.signer.Sign(text)}
	}
	return text, header, nil
}

// AnswerSeal returns what seals answers to queries, nil if nothing is sealed.
func (s *Sealer) AnswerSeal() query.Seal {
	if !s.isActive() {
		return nil
	}
	return s.sealAnswer
}

// sealAnswer adds the digest of the query to an answer, which is a JSON object.
func (s *Sealer) sealAnswer(asked query.Request, answer []byte) (data []byte, header map[string][]string, err error) {
	q := seal.Question{Subject: asked.Subject, Data: asked.Data}
	if nonce := asked.Header[seal.NonceHeader]; len(nonce) > 0 {
		q.Nonce = nonce[0]
	}
	body, ok := bytes.CutSuffix(answer, []byte("}"))
	if !ok {
		return nil, nil, errors.New("the answer is no JSON object")
	}
	return s.sealText(fmt.Appendf(body, `,"answers":%q}`, q.Digest()))
}

// KeyFingerprint identifies the keys that values are sealed with.
func (s *Sealer) KeyFingerprint() string {
	fingerprint := ""
	if s.signer != nil {
		fingerprint = s.signer.Key().ID()
	}
	return fingerprint + s.RecipientIDs()
}

// OpenStored decrypts a stored message, whether or not the node encrypted at that time.
func (s *Sealer) OpenStored(data []byte) ([]byte, error) {
	switch {
	case !seal.IsEncrypted(data):
		return data, nil
	case s.decrypter == nil:
		return nil, fmt.Errorf("it is encrypted, and the key is gone (%s)", s.Files.ReadingPath())
	}
	return s.decrypter.Decrypt(data)
}
