package keys

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"github.com/wazuh-pulse/pulse/internal/statedir"
	"github.com/wazuh-pulse/pulse/seal"
)

// Files says where a node's keys are.
type Files struct {
	Node     string
	StateDir string
	Signing  string // the private signing key; "" for signing.jwk in StateDir
}

// SigningPath is where the signing key is.
func (f *Files) SigningPath() string {
	return cmp.Or(f.Signing, filepath.Join(f.StateDir, "signing.jwk"))
}

// PublicPath is where the public keys are.
func (f *Files) PublicPath() string { return filepath.Join(f.StateDir, "public.jwks") }

// ReadingPath is where the key is with which the node reads its own outbox.
func (f *Files) ReadingPath() string { return filepath.Join(f.StateDir, "reading.jwk") }

// OpenSigning reads the signing key, or makes one if there is none, and sees to it
// that it is among the public keys.
func (f *Files) OpenSigning() (k *seal.Key, err error) {
	k, err = ReadPrivate(f.SigningPath())
	if errors.Is(err, fs.ErrNotExist) {
		k, err = create(f.SigningPath(), seal.Signing, f.Node)
	}
	if err != nil {
		return nil, fmt.Errorf("the signing key: %w", err)
	}
	if k.Use() != seal.Signing {
		return nil, fmt.Errorf("the signing key: %s: it is an encryption key", f.SigningPath())
	}
	k.Node = f.Node // of an NKey, the file does not say
	if _, err := f.publish(k); err != nil {
		return nil, fmt.Errorf("the public keys: %w", err)
	}
	return k, nil
}

// HoldSigning does as OpenSigning. On a full disk, the key is in memory only, and its
// files are written by the function that is returned; that is nil where they are there.
func (f *Files) HoldSigning() (k *seal.Key, write func() error, err error) {
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
		_, err := f.publish(k)
		return err
	}, nil
}

// HoldReading does as OpenReading with make, and on a full disk as HoldSigning.
func (f *Files) HoldReading() (k *seal.Key, write func() error, err error) {
	k, err = f.OpenReading(true)
	if !statedir.IsFull(err) {
		return k, nil, err
	}
	if k, err = seal.GenerateKey(seal.Encryption); err != nil {
		return nil, nil, err
	}
	return k, func() error { return writePrivate(f.ReadingPath(), k, true) }, nil
}

// OpenReading reads the key with which the node reads its own outbox, or, if it
// shall, makes one. Without either it returns nil.
func (f *Files) OpenReading(make bool) (k *seal.Key, err error) {
	k, err = ReadPrivate(f.ReadingPath())
	if errors.Is(err, fs.ErrNotExist) {
		if !make {
			return nil, nil
		}
		k, err = create(f.ReadingPath(), seal.Encryption, "")
	}
	if err == nil && k.Use() != seal.Encryption {
		err = fmt.Errorf("%s: it is a signing key", f.ReadingPath())
	}
	if err != nil {
		return nil, fmt.Errorf("the key of the node's own messages: %w", err)
	}
	return k, nil
}

// Rotate replaces the signing key by a new one, which a node uses from its next
// start on. The old one's public key stays among the public ones, so that those who
// verify know both; unless forget, which drops the keys of before.
func (f *Files) Rotate(forget bool) (is *seal.Key, err error) {
	text, err := keyfile.Read(f.SigningPath(), keyfile.Private)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("there is no signing key in %s yet: make one with pulse keys generate, or let the daemon", f.SigningPath())
	case err != nil:
		return nil, err
	case fromNKey(text) != nil:
		return nil, fmt.Errorf("%s is an NKey: make another one with nsc or nk, put it there and start the daemon anew", f.SigningPath())
	}
	was, err := f.OpenSigning() // makes sure that it is public
	if err != nil {
		return nil, err
	}
	is, err = seal.GenerateKey(seal.Signing)
	if err != nil {
		return nil, err
	}
	is.Node = f.Node
	// Public first: no message is signed with a key that nobody can know.
	if forget {
		err = f.writePublic([]*seal.Key{is, was})
	} else {
		_, err = f.publish(is)
	}
	if err != nil {
		return nil, err
	}
	return is, writePrivate(f.SigningPath(), is, false)
}

// Generate makes a signing key, where there is none.
func (f *Files) Generate() (*seal.Key, error) {
	if _, err := create(f.SigningPath(), seal.Signing, f.Node); err != nil {
		return nil, err
	}
	return f.OpenSigning()
}

// Public are the public keys: the last one made, and those before it.
func (f *Files) Public() ([]*seal.Key, error) { return ReadPublic(f.PublicPath()) }

// formerMax is how many keys before the present one stay public.
const formerMax = 15

// publish puts a key first among the public ones, where it is not.
func (f *Files) publish(k *seal.Key) ([]*seal.Key, error) {
	all, err := ReadPublic(f.PublicPath())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; delete it, if nobody needs older keys", err)
	}
	for _, old := range all {
		if old.Equal(k) && old.Node == k.Node {
			return all, nil
		}
	}
	all = append([]*seal.Key{k.Public()}, all...)
	if len(all) > formerMax+1 {
		all = all[:formerMax+1]
	}
	return all, f.writePublic(all)
}

func (f *Files) writePublic(all []*seal.Key) error {
	text, err := seal.MarshalKeys(all...)
	if err != nil {
		return err
	}
	return keyfile.Write(f.PublicPath(), text, 0o644, false)
}

// Create makes a private key in a new file, for somebody else than a node.
func Create(path string, use seal.Use) (*seal.Key, error) { return create(path, use, "") }

// create makes a private key in a new file.
func create(path string, use seal.Use, node string) (*seal.Key, error) {
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
