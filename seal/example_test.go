package seal_test

import (
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/seal"
)

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

// published is what a node would have sent, with a new key of its own, and its
// public keys.
func published(to ...*seal.Key) (m seal.Message, publicKeys []byte) {
	key := must(seal.GenerateKey(seal.Signing))
	key.Node = "node01"
	subject := event.Prefix(event.DefaultPrefix).StatusChange("001")
	data := fmt.Appendf(nil, `{"status_change":{"agent_id":"001","current_status":1,"reason":"connection_lost"},`+
		`"security":{"source":"wazuh-manager","sequence":1,"node":"node01","epoch":1,"issued_at":%d,"subject":%q}}`, time.Now().UnixMilli(), subject)
	if len(to) > 0 {
		data = must(must(seal.NewEncrypter(to...)).Encrypt(data))
	}
	signature := must(seal.NewSigner(key)).Sign(data)
	return seal.Message{Subject: subject, Header: map[string][]string{seal.SignatureHeader: {signature}}, Data: data}, must(seal.MarshalKeys(key))
}

// What an XDR platform does with every message.
func ExampleOpener_Open() {
	message, publicKeys := published() // Subject, Header and Data of a *nats.Msg or a jetstream.Msg; public.jwks

	opener := &seal.Opener{
		Verifier: must(seal.NewVerifier(must(seal.ParseKeys(publicKeys))...)),
		Guard:    seal.NewGuard(seal.GuardConfig{}),
	}
	for range 2 {
		opened, err := opener.Open(message)
		switch {
		case errors.Is(err, seal.ErrReplayed):
			fmt.Println("refused: message replayed")
			continue
		case err != nil:
			fmt.Println("refused:", err)
			continue
		}
		switch m := opened.Message.(type) {
		case *event.StatusChangeMessage:
			fmt.Println("agent", m.StatusChange.AgentID, "is", m.StatusChange.CurrentStatus, "by", m.StatusChange.Reason)
		case *event.ManagerStatusMessage:
			fmt.Println("node", m.ManagerStatus.ManagerNode, "lives")
		}
	}
	// Output:
	// agent 001 is disconnected by connection_lost
	// refused: message replayed
}

// Messages that only the XDR platform can read.
func ExampleOpener_Open_encrypted() {
	mine := must(seal.GenerateKey(seal.Encryption)) // once; its public part goes into Pulse's recipients_file
	message, publicKeys := published(mine.Public())

	opener := &seal.Opener{
		Verifier:  must(seal.NewVerifier(must(seal.ParseKeys(publicKeys))...)),
		Decrypter: must(seal.NewDecrypter(mine)),
	}
	opened, err := opener.Open(message)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(opened.Encrypted, opened.Message.(*event.StatusChangeMessage).StatusChange.AgentID)
	// Output: true 001
}

// A program that starts anew goes on with what it had seen.
func ExampleGuard_State() {
	message, publicKeys := published()
	verifier := must(seal.NewVerifier(must(seal.ParseKeys(publicKeys))...))

	guard := seal.NewGuard(seal.GuardConfig{})
	_, err := (&seal.Opener{Verifier: verifier, Guard: guard}).Open(message)
	fmt.Println(err)
	state := guard.State() // to be kept with what was made of the messages

	guard = must(seal.RestoreGuard(seal.GuardConfig{}, state))
	_, err = (&seal.Opener{Verifier: verifier, Guard: guard}).Open(message)
	fmt.Println(errors.Is(err, seal.ErrReplayed))
	// Output:
	// <nil>
	// true
}

// Keys as files have them.
func ExampleParseKeys() {
	keys, err := seal.ParseKeys([]byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","pulse_node":"node01"}]}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(keys[0], "of", keys[0].Node)
	// Output: public signing key kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k of node01
}
