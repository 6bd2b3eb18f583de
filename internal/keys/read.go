package keys

import (
	"crypto/ed25519"
	"fmt"

	"github.com/nats-io/nkeys"
	"github.com/wazuh-pulse/pulse/internal/keyfile"
	"github.com/wazuh-pulse/pulse/seal"
)

// ReadPrivate reads a file with one private key: a JWK, or an NKey seed, which is
// a signing key. It is refused if others than its owner may read or change it.
func ReadPrivate(path string) (*seal.Key, error) {
	text, err := keyfile.Read(path, keyfile.Private)
	if err != nil {
		return nil, err
	}
	if k := parseNKeySeed(text); k != nil {
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
func ReadPrivateSet(path string) ([]*seal.Key, error) { return readKeys(path, keyfile.Private) }

// ReadPublic reads a file of public keys: a JWK or a JWKS. Private ones are an
// error: they are where others may read them.
func ReadPublic(path string) ([]*seal.Key, error) {
	all, err := readKeys(path, keyfile.Public)
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

func readKeys(path string, access keyfile.Access) ([]*seal.Key, error) {
	text, err := keyfile.Read(path, access)
	if err != nil {
		return nil, err
	}
	all, err := seal.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// parseNKeySeed returns nil where there is no NKey seed.
func parseNKeySeed(text []byte) *seal.Key {
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
