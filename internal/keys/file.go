package keys

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/nats-io/nkeys"
	"github.com/wazuh-pulse/pulse/seal"
)

// fileMax is far above any file of keys.
const fileMax = 4 << 20

// ReadPrivate reads a file with one private key: a JWK, or an NKey seed, which is
// a signing key. It is refused if others than its owner may read or change it.
func ReadPrivate(path string) (*seal.Key, error) {
	text, err := read(path, true)
	if err != nil {
		return nil, err
	}
	if k := fromNKey(text); k != nil {
		return k, nil
	}
	all, err := seal.ParseKeys(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	case len(all) != 1 || !all[0].Private():
		return nil, fmt.Errorf("%s: want one private key, a JWK or an NKey seed", path)
	}
	return all[0], nil
}

// ReadPrivateSet reads a file of private keys, such as a recipient's present and former ones.
func ReadPrivateSet(path string) ([]*seal.Key, error) {
	text, err := read(path, true)
	if err != nil {
		return nil, err
	}
	return parse(path, text)
}

// ReadPublic reads a file of public keys: a JWK or a JWKS. Private ones are an
// error: they are where others may read them.
func ReadPublic(path string) ([]*seal.Key, error) {
	text, err := read(path, false)
	if err != nil {
		return nil, err
	}
	all, err := parse(path, text)
	if err != nil {
		return nil, err
	}
	for i, k := range all {
		if k.Private() {
			return nil, fmt.Errorf("%s: key %d is a private one: give the public part of it (pulse keys export)", path, i+1)
		}
	}
	return all, nil
}

func parse(path string, text []byte) ([]*seal.Key, error) {
	all, err := seal.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// fromNKey returns nil where there is no NKey seed.
func fromNKey(text []byte) *seal.Key {
	pair, err := nkeys.ParseDecoratedNKey(text)
	if err != nil {
		return nil
	}
	defer pair.Wipe()
	seed, err := pair.Seed()
	if err != nil {
		return nil
	}
	_, raw, err := nkeys.DecodeSeed(seed)
	if err != nil || len(raw) != ed25519.SeedSize {
		return nil
	}
	return seal.SigningKey(ed25519.NewKeyFromSeed(raw))
}

// read looks before it opens: opening a pipe would wait.
func read(path string, secret bool) ([]byte, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s: not a regular file", path)
	case secret && info.Mode().Perm()&0o077 != 0:
		return nil, fmt.Errorf("%s: others may read or change it (mode %04o), and it holds a secret: chmod 600 it", path, info.Mode().Perm())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, fileMax+1))
	if err == nil && len(text) > fileMax {
		err = fmt.Errorf("%s: larger than %d bytes", path, fileMax)
	}
	return bytes.TrimSpace(text), err
}

// Write writes a file whole or not at all. With fresh, one that is there already stays and is an error.
// What root writes belongs to whom the file before it belonged, or the directory: a
// service has to be able to read the key that root made for it.
func Write(path string, text []byte, mode fs.FileMode, fresh bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(f.Name()) }() // what is left of it
	_, err = f.Write(append(bytes.TrimSpace(text), '\n'))
	if err := errors.Join(err, f.Chmod(mode), give(f, path), f.Sync(), f.Close()); err != nil {
		return err
	}
	if fresh {
		err = os.Link(f.Name(), path)
	} else {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// give makes a file that root wrote another's, if what it is written for is.
func give(f *os.File, path string) error {
	if os.Geteuid() != 0 {
		return nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		info, err = os.Stat(filepath.Dir(path))
	}
	if err != nil {
		return err
	}
	if of, ok := info.Sys().(*syscall.Stat_t); ok && of.Uid != 0 {
		return f.Chown(int(of.Uid), int(of.Gid))
	}
	return nil
}
