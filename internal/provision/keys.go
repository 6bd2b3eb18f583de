package provision

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/nats-io/nkeys"
	"github.com/wazuh-pulse/pulse/internal/hint"
)

// privateDir has the keys that sign credentials and certificates.
const privateDir = "private"

func keyFilePath(name string) string { return filepath.Join(privateDir, name+".nk") }

const operatorKey = "operator"

// keys are the signing keys, by the name of the account, or operatorKey.
type keys map[string]nkeys.KeyPair

// newKeys makes all keys, and adds the public ones to the state.
func newKeys(s *state) (keys, []file, error) {
	all, files := make(keys), []file(nil)
	s.Accounts = make(map[string]string)
	for _, name := range append([]string{operatorKey}, accountNames...) {
		create := nkeys.CreateAccount
		if name == operatorKey {
			create = nkeys.CreateOperator
		}
		pair, err := create()
		if err != nil {
			return nil, nil, fmt.Errorf("make the key of %s: %w", name, err)
		}
		seed, err := pair.Seed()
		if err != nil {
			return nil, nil, fmt.Errorf("make the key of %s: %w", name, err)
		}
		key, err := pair.PublicKey()
		if err != nil {
			return nil, nil, fmt.Errorf("make the key of %s: %w", name, err)
		}
		if name == operatorKey {
			s.Key = key
		} else {
			s.Accounts[name] = key
		}
		all[name], files = pair, append(files, file{keyFilePath(name), append(seed, '\n'), secret})
	}
	return all, files, nil
}

// loadMatchingKeys reads the keys, which have to match the state.
func loadMatchingKeys(dir string, s *state) (keys, error) {
	all := make(keys)
	for _, name := range append([]string{operatorKey}, accountNames...) {
		path, want := filepath.Join(dir, keyFilePath(name)), s.Accounts[name]
		if name == operatorKey {
			want = s.Key
		}
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, hint.Add(fmt.Errorf("%s does not exist", path), fmt.Sprintf("restore %s from where it is kept", filepath.Join(dir, privateDir)))
		} else if err != nil {
			return nil, err
		}
		pair, err := nkeys.FromSeed(bytes.TrimSpace(text))
		if err != nil {
			return nil, hint.Add(fmt.Errorf("%s holds no seed of a key", path), "restore it from a backup")
		}
		if key, err := pair.PublicKey(); err != nil || key != want {
			return nil, hint.Add(fmt.Errorf("%s is the key of another setup than that of %s", path, filepath.Join(dir, stateFile)), "restore both from one backup")
		}
		all[name] = pair
	}
	return all, nil
}
