package remote

import (
	"os"
	"strings"
	"testing"
)

// FuzzLoadCredentials holds that whatever is in a file is understood or refused in one
// short line.
func FuzzLoadCredentials(f *testing.F) {
	ca := newAuthority(f)
	good := ca.issue(f, leaf{})
	creds, _, secrets := newTestOperator(f).user(f, newTestOperator(f).account, nil)
	settings := []string{"credentials_file", "nkey_file", "password_file", "token_file", "tls_ca", "tls_cert"}
	for i, file := range []string{creds, good.key, good.cert, ca.file} {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for j := range settings {
			f.Add(byte(j), text, text[:len(text)/2+i])
		}
	}
	f.Add(byte(1), []byte(secrets[0]), []byte(nil))
	f.Add(byte(0), []byte("-----BEGIN NATS USER JWT-----\n"+secrets[1]+"\n------END NATS USER JWT------\n"), []byte(nil))
	f.Fuzz(func(t *testing.T, which byte, text, key []byte) {
		setting := settings[int(which)%len(settings)]
		m := new(loginFiles)
		err := m.parseLoginFile(setting, map[string][]byte{setting: text, "tls_key": key}, "pulse")
		switch {
		case err != nil && (len(err.Error()) > 300 || strings.Contains(err.Error(), "\n")):
			t.Errorf("%s: not a short line: %q", setting, err)
		case err == nil && m.login == nil && m.roots == nil && m.cert == nil:
			t.Errorf("%s was accepted, and nothing came of it", setting)
		case len(m.identity) > 1000 || strings.Contains(m.identity, "\n"):
			t.Errorf("not fit for a log: %q", m.identity)
		}
		m.wipeKeys()
	})
}
