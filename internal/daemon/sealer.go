package daemon

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/wazuh-pulse/pulse/internal/audit"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/query"
	"github.com/wazuh-pulse/pulse/seal"
)

// sealer signs and encrypts what leaves the node, and reads what the node has kept of
// it. It may be used concurrently.
type sealer struct {
	files  keys.Files
	signer *seal.Signer               // nil: nothing is signed
	to     atomic.Pointer[recipients] // nil: nothing is encrypted
	key    *seal.Key                  // what is kept is encrypted for the node, too
	own    *seal.Decrypter            // nil: the node never encrypted anything
}

// recipients are those whom messages are encrypted for.
type recipients struct {
	all  *seal.Encrypter
	kept *seal.Encrypter // for them and the node, which reads its STATUS stream when it starts
}

// KeyFiles says where a node has its keys.
func KeyFiles(cfg *config.Config) keys.Files {
	return keys.Files{Node: cfg.Pulse.NodeName, StateDir: cfg.Pulse.StateDir, Signing: cfg.NATS.SigningKeyFile}
}

// openSealer reads the keys. Those of the node itself are made if they are not there.
// What a full disk does not take of them is written later.
func openSealer(cfg *config.Config, later *stateFiles) (*sealer, error) {
	s := &sealer{files: KeyFiles(cfg)}
	if cfg.NATS.MessageSigning {
		k, write, err := s.files.HoldSigning()
		if err == nil {
			later.postponeKey("signing.jwk, public.jwks", write)
			s.signer, err = seal.NewSigner(k)
		}
		if err != nil {
			return nil, fmt.Errorf("sign messages (<nats><message_signing>): %w", err)
		}
	}
	own, write, err := s.openOwn(cfg.NATS.EncryptMessages)
	if err == nil && own != nil {
		later.postponeKey("reading.jwk", write)
		s.own, err = seal.NewDecrypter(own)
	}
	if err != nil {
		return nil, err
	}
	if !cfg.NATS.EncryptMessages {
		return s, nil
	}
	s.key = own
	to, err := s.readRecipients(cfg)
	if err != nil {
		return nil, err
	}
	s.to.Store(to)
	return s, nil
}

// readRecipients reads those of the settings; nil if nothing is encrypted.
func (s *sealer) readRecipients(cfg *config.Config) (*recipients, error) {
	if !cfg.NATS.Enabled || !cfg.NATS.EncryptMessages {
		return nil, nil
	}
	r := new(recipients)
	to, err := Recipients(cfg)
	if err == nil {
		r.all, err = seal.NewEncrypter(to...)
	}
	if err == nil {
		r.kept, err = seal.NewEncrypter(append(to, s.key)...)
	}
	if err != nil {
		return nil, fmt.Errorf("encrypt messages (<nats><encrypt_messages>): %w", err)
	}
	return r, nil
}

// ids names the recipients.
func (r *recipients) ids() (text string) {
	if r != nil {
		for _, k := range r.all.Recipients() {
			text += " " + k.ID()
		}
	}
	return text
}

// openOwn opens the key with which the node reads its own messages.
func (s *sealer) openOwn(make bool) (k *seal.Key, write func() error, err error) {
	if make {
		return s.files.HoldReading()
	}
	k, err = s.files.OpenReading(false)
	return k, nil, err
}

// Recipients are those whom messages are encrypted for.
func Recipients(cfg *config.Config) ([]*seal.Key, error) {
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

// CheckKeys reads the keys as a node does that starts, and makes none.
func CheckKeys(cfg *config.Config) error {
	if !cfg.NATS.Enabled {
		return nil
	}
	files := KeyFiles(cfg)
	if cfg.NATS.MessageSigning {
		k, err := keys.ReadPrivate(files.SigningPath())
		if _, gone := errors.AsType[*fs.PathError](err); err != nil && !gone { // else it is made, or the start says why not
			return fmt.Errorf("<nats><signing_key_file>: %w", err)
		}
		if err == nil && k.Use() != seal.Signing {
			return fmt.Errorf("<nats><signing_key_file>: %s: it is an encryption key", files.SigningPath())
		}
	}
	if cfg.NATS.EncryptMessages {
		if _, err := Recipients(cfg); err != nil {
			return err
		}
	}
	return nil
}

// ExamineKeys reads the private keys that a node has for itself as it does when it
// starts, and makes none. It returns what is wrong with each.
func ExamineKeys(cfg *config.Config) (wrong []error) {
	files := KeyFiles(cfg)
	looks := map[string]func(string) error{}
	if cfg.NATS.Enabled {
		private := func(path string) error { _, err := keys.ReadPrivate(path); return err }
		looks[files.ReadingPath()] = private
		if cfg.NATS.MessageSigning {
			looks[files.SigningPath()] = private
		}
	}
	if cfg.NATS.AuditLogging {
		looks[auditKeyPath(cfg.Pulse.StateDir)] = func(path string) error { _, err := audit.ReadKey(path); return err }
	}
	for _, path := range slices.Sorted(maps.Keys(looks)) {
		if err := looks[path](path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) { // else it is made
			wrong = append(wrong, err)
		}
	}
	return wrong
}

// together is how many messages are worth another goroutine: a signature takes 40 µs.
const together = 8

// seal signs and encrypts messages in place, on all processors if they are many.
func (s *sealer) seal(messages []outbox.Message) error {
	if s.signer == nil && s.to.Load() == nil {
		return nil
	}
	workers := min(runtime.GOMAXPROCS(0), (len(messages)+together-1)/together)
	failed := make([]error, workers)
	var working sync.WaitGroup
	for w := range workers {
		part := messages[len(messages)*w/workers : len(messages)*(w+1)/workers]
		if w == workers-1 {
			failed[w] = s.sealEach(part)
			break
		}
		working.Go(func() { failed[w] = s.sealEach(part) })
	}
	working.Wait()
	return errors.Join(failed...)
}

func (s *sealer) sealEach(messages []outbox.Message) (err error) {
	recipients := s.to.Load()
	for i := range messages {
		m := &messages[i]
		if recipients != nil {
			to := recipients.all
			if m.Class == outbox.Status {
				to = recipients.kept
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

// sealOne makes of a text for the recipients what is sent, with its headers.
func (s *sealer) sealOne(text []byte) (data []byte, header map[string][]string, err error) {
	header = make(map[string][]string, 2)
	if to := s.to.Load(); to != nil {
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

// sealing is sealOne, nil if that does nothing.
func (s *sealer) sealing() func([]byte) ([]byte, map[string][]string, error) {
	if s.signer == nil && s.to.Load() == nil {
		return nil
	}
	return s.sealOne
}

// answerSealing returns what seals answers to questions, nil if nothing is sealed.
func (s *sealer) answerSealing() query.Seal {
	if s.sealing() == nil {
		return nil
	}
	return s.sealAnswer
}

// sealAnswer adds to an answer, which is a JSON object, to which question it is.
func (s *sealer) sealAnswer(asked query.Request, answer []byte) (data []byte, header map[string][]string, err error) {
	q := seal.Question{Subject: asked.Subject, Data: asked.Data}
	if nonce := asked.Header[seal.NonceHeader]; len(nonce) > 0 {
		q.Nonce = nonce[0]
	}
	body, ok := bytes.CutSuffix(answer, []byte("}"))
	if !ok {
		return nil, nil, errors.New("the answer is no JSON object")
	}
	return s.sealOne(fmt.Appendf(body, `,"answers":%q}`, q.Digest()))
}

// form tells what is sealed by these keys from what is sealed by others.
func (s *sealer) form() string {
	form := ""
	if s.signer != nil {
		form = s.signer.Key().ID()
	}
	return form + s.to.Load().ids()
}

// open reads what the node has kept, whether or not it encrypted then.
func (s *sealer) open(data []byte) ([]byte, error) {
	switch {
	case !seal.IsEncrypted(data):
		return data, nil
	case s.own == nil:
		return nil, fmt.Errorf("it is encrypted, and the key is gone (%s)", s.files.ReadingPath())
	}
	return s.own.Decrypt(data)
}
