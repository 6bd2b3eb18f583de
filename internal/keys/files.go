// Package keys makes, reads, rotates and publishes a node's keys:
//
//   - the signing key, private: <nats><signing_key_file>, else signing.jwk in the
//     state directory. It may be an NKey seed;
//   - reading.jwk in the state directory, private: the encryption key with which the node
//     reads its own outbox;
//   - public.jwks in the state directory: the signing key that is used and those that
//     were, for who verifies. [KVPublisher] shows it on NATS.
//
// Files with secrets have mode 0600, and are refused with another. No error contains a secret.
//
// Its functions start no goroutines, and they must not be called concurrently for the
// same files; [KVPublisher.Run] runs in its caller's.
package keys

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"github.com/wazuh-pulse/pulse/internal/statedir"
	"github.com/wazuh-pulse/pulse/seal"
)

// Files is where a node's keys are.
type Files struct {
	Node     string
	StateDir string
	Signing  string // the private signing key; "" for signing.jwk in StateDir
}

// SigningPath returns the path of the signing key.
func (f *Files) SigningPath() string {
	return cmp.Or(f.Signing, filepath.Join(f.StateDir, "signing.jwk"))
}

// PublicPath returns the path of the public keys.
func (f *Files) PublicPath() string { return filepath.Join(f.StateDir, "public.jwks") }

// ReadingPath returns the path of the key with which the node reads its own outbox.
func (f *Files) ReadingPath() string { return filepath.Join(f.StateDir, "reading.jwk") }

// OpenSigning reads the signing key, or makes one if there is none, and adds it to
// the public keys.
func (f *Files) OpenSigning() (k *seal.Key, err error) {
	k, err = ReadPrivate(f.SigningPath())
	if errors.Is(err, fs.ErrNotExist) {
		k, err = createPrivate(f.SigningPath(), seal.Signing, f.Node)
	}
	if err != nil {
		return nil, fmt.Errorf("the signing key: %w", err)
	}
	if k.Use() != seal.Signing {
		return nil, fmt.Errorf("the signing key: %s: it is an encryption key", f.SigningPath())
	}
	k.Node = f.Node // an NKey has none
	if err := f.addPublicKey(k); err != nil {
		return nil, fmt.Errorf("the public keys: %w", err)
	}
	return k, nil
}

// OpenOrHoldSigning is OpenSigning, but on a full disk, the key is in memory only, and
// the returned function writes its files; it is nil where they are written already.
func (f *Files) OpenOrHoldSigning() (k *seal.Key, write func() error, err error) {
	k, err = f.OpenSigning()
	if !statedir.IsFull(err) {
		return k, nil, err
	}
	k, err = ReadPrivate(f.SigningPath())
	kept := err == nil
	if errors.Is(err, fs.ErrNotExist) {
		k, err = seal.GenerateKey(seal.Signing)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("the signing key: %w", err)
	}
	k.Node = f.Node
	return k, func() error {
		if !kept {
			if err := writePrivate(f.SigningPath(), k, true); err != nil {
				return err
			}
			kept = true
		}
		return f.addPublicKey(k)
	}, nil
}

// OpenOrHoldReading is OpenReading with make, and on a full disk like HoldSigning.
func (f *Files) OpenOrHoldReading() (k *seal.Key, write func() error, err error) {
	k, err = f.OpenReading(true)
	if !statedir.IsFull(err) {
		return k, nil, err
	}
	if k, err = seal.GenerateKey(seal.Encryption); err != nil {
		return nil, nil, err
	}
	return k, func() error { return writePrivate(f.ReadingPath(), k, true) }, nil
}

// OpenReading reads the key with which the node reads its own outbox, or makes
// one if make is set; else it returns nil.
func (f *Files) OpenReading(make bool) (k *seal.Key, err error) {
	k, err = ReadPrivate(f.ReadingPath())
	if errors.Is(err, fs.ErrNotExist) {
		if !make {
			return nil, nil
		}
		k, err = createPrivate(f.ReadingPath(), seal.Encryption, "")
	}
	if err == nil && k.Use() != seal.Encryption {
		err = fmt.Errorf("%s: it is a signing key", f.ReadingPath())
	}
	if err != nil {
		return nil, fmt.Errorf("the key of the node's own messages: %w", err)
	}
	return k, nil
}

// RotateSigning replaces the signing key by a new one, which a node uses from its next
// start on. The old one's public key stays among the public ones, so that verifiers
// have both, unless forget is set, which removes the former keys.
func (f *Files) RotateSigning(forget bool) (is *seal.Key, err error) {
	text, err := keyfile.Read(f.SigningPath(), keyfile.Private)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no signing key in %s yet: make one with pulse keys generate, or let the daemon", f.SigningPath())
	case err != nil:
		return nil, err
	case parseNKeySeed(text) != nil:
		return nil, fmt.Errorf("%s is an NKey: make another one with nsc or nk, put it there and start the daemon anew", f.SigningPath())
	}
	was, err := f.OpenSigning() // adds it to the public keys
	if err != nil {
		return nil, err
	}
	is, err = seal.GenerateKey(seal.Signing)
	if err != nil {
		return nil, err
	}
	is.Node = f.Node
	// The public key first: no message may be signed with a key that verifiers cannot have.
	if forget {
		err = f.writePublic([]*seal.Key{is, was})
	} else {
		err = f.addPublicKey(is)
	}
	if err != nil {
		return nil, err
	}
	return is, writePrivate(f.SigningPath(), is, false)
}

// GenerateSigning makes a signing key, where there is none.
func (f *Files) GenerateSigning() (*seal.Key, error) {
	if _, err := createPrivate(f.SigningPath(), seal.Signing, f.Node); err != nil {
		return nil, err
	}
	return f.OpenSigning()
}

// ReadPublicKeys returns the public keys: the last one made, and those before it.
func (f *Files) ReadPublicKeys() ([]*seal.Key, error) { return ReadPublic(f.PublicPath()) }

// formerMax is how many keys before the present one stay public.
const formerMax = 15

// addPublicKey puts a key first among the public ones if it is not one of them. Where it has the node's former name, it
// gets the present one there, and keeps the former: messages from before are still verified.
func (f *Files) addPublicKey(k *seal.Key) error {
	all, err := ReadPublic(f.PublicPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; delete it, if nobody needs older keys", err)
	}
	joined := joinSameKeys(all)
	i := slices.IndexFunc(joined, k.Equal)
	switch {
	case i < 0:
		return f.writePublic(append([]*seal.Key{k.Public()}, joined[:min(len(joined), formerMax)]...))
	case joined[i].Node == k.Node && len(joined) == len(all):
		return nil
	}
	joined[i] = joined[i].AddName(k.Node)
	return f.writePublic(joined)
}

// joinSameKeys returns keys without repetitions: earlier versions wrote a key of a renamed node once for each name, the
// present one first.
func joinSameKeys(all []*seal.Key) (joined []*seal.Key) {
	for _, k := range all {
		i := slices.IndexFunc(joined, k.Equal)
		if i < 0 {
			joined = append(joined, k.Public())
			continue
		}
		joined[i] = k.AddName(joined[i].Node)
	}
	return joined
}

// FormerName returns the name that the node had at its last start, if it has another one now and its signing key is
// there; else "".
func (f *Files) FormerName() string {
	k, err := ReadPrivate(f.SigningPath())
	if err != nil {
		return ""
	}
	all, err := ReadPublic(f.PublicPath())
	if err != nil {
		return ""
	}
	i := slices.IndexFunc(all, k.Equal)
	if i < 0 || all[i].Node == f.Node {
		return ""
	}
	return all[i].Node
}

// PublicKeysOf returns the public keys as they are when the node has another name: its present key is that node's, and
// keeps the former name.
func (f *Files) PublicKeysOf(node string) ([]*seal.Key, error) {
	present, err := ReadPrivate(f.SigningPath())
	if err != nil {
		return nil, err
	}
	all, err := f.ReadPublicKeys()
	if err != nil {
		return nil, err
	}
	all = joinSameKeys(all)
	for i, k := range all {
		if k.Equal(present) {
			all[i] = k.AddName(node)
		}
	}
	return all, nil
}

// signerPath returns the file with the ID of the key that the node signs with since its last start.
func (f *Files) signerPath() string { return filepath.Join(f.StateDir, "signing.kid") }

// RecordSigner records the key that the node signs with from now on.
func (f *Files) RecordSigner(k *seal.Key) error {
	return keyfile.Write(f.signerPath(), []byte(k.ID()+"\n"), 0o600, false)
}

// SignerID returns the ID of the key that the node signs with since its last start; "" if it is not known.
func (f *Files) SignerID() string {
	text, err := os.ReadFile(f.signerPath())
	if err != nil || len(text) > signerMax {
		return ""
	}
	return strings.TrimSpace(string(text))
}

// signerMax is longer than any key's ID.
const signerMax = 100

func (f *Files) writePublic(all []*seal.Key) error {
	text, err := seal.MarshalKeys(all...)
	if err != nil {
		return err
	}
	return keyfile.Write(f.PublicPath(), text, 0o644, false)
}

// CreatePrivate makes a private key in a new file, for another party than a node.
func CreatePrivate(path string, use seal.Use) (*seal.Key, error) { return createPrivate(path, use, "") }

// createPrivate makes a private key in a new file.
func createPrivate(path string, use seal.Use, node string) (*seal.Key, error) {
	k, err := seal.GenerateKey(use)
	if err != nil {
		return nil, err
	}
	k.Node = node
	err = writePrivate(path, k, true)
	if errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("%s is there already, and stays as it is", path)
	}
	return k, err
}

func writePrivate(path string, k *seal.Key, fresh bool) error {
	text, err := seal.MarshalPrivate(k)
	if err != nil {
		return err
	}
	if err := keyfile.Write(path, text, 0o600, fresh); err != nil {
		return fmt.Errorf("write a new key: %w", err)
	}
	return nil
}
