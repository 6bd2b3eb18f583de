package seal

import (
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// signingKey and encryptionKey are the same in every run, by name.
func testSigningKey(name string) *Key {
	seed := sha256.Sum256([]byte("sign " + name))
	return SigningKey(ed25519.NewKeyFromSeed(seed[:]))
}

func testEncryptionKey(t testing.TB, name string) *Key {
	t.Helper()
	seed := sha256.Sum256([]byte("encrypt " + name))
	return decryptionKey(must(ecdh.X25519().NewPrivateKey(seed[:]))(t))
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

var madeAt = time.UnixMilli(1716897360120)

// change is a status change of node01, as Pulse publishes it.
func change(sequence uint64) (subject string, payload []byte) {
	subject = event.Prefix(event.DefaultPrefix).StatusChange("001")
	m := event.StatusChangeMessage{
		StatusChange: event.StatusChange{AgentID: "001", AgentName: "web-server-01", CurrentStatus: event.Disconnected,
			IPAddress: "192.168.1.100", Timestamp: madeAt.Unix(), Reason: event.MissedKeepAlives, MissedKeepAlives: 3, AlertLevel: 8},
		Security: event.Security{Source: event.Origin, Version: "0.1.0", Sequence: sequence, Node: "node01", Epoch: 7,
			IssuedAt: madeAt.UnixMilli(), Subject: subject}}
	payload, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return subject, payload
}

// signed is a message with a payload as it is.
func signed(t testing.TB, k *Key, subject string, payload []byte) Message {
	t.Helper()
	s := must(NewSigner(k))(t)
	return Message{subject, map[string][]string{SignatureHeader: {s.Sign(payload)}}, payload}
}

// sealed is a message whose payload is encrypted for some.
func sealed(t testing.TB, k *Key, subject string, payload []byte, to ...*Key) Message {
	t.Helper()
	e := must(NewEncrypter(to...))(t)
	return signed(t, k, subject, must(e.Encrypt(payload))(t))
}

func opener(t testing.TB, trusted ...*Key) *Opener {
	t.Helper()
	return &Opener{Verifier: must(NewVerifier(trusted...))(t), Now: func() time.Time { return madeAt.Add(time.Second) }}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got %v, want %v", what, err, want)
	}
}
