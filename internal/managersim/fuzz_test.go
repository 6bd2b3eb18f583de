package managersim

import (
	"os"
	"testing"
)

// What clients write to the sockets is answered or refused, whatever it is.
func FuzzSockets(f *testing.F) {
	for _, text := range []string{"global get-agent-info 1", "global sql SELECT 1", "global update-keepalive {}", "{", `{"command":"getstats"}`,
		"001 agent getstate", "(pulse) [] N!S 001 agent ack ", "(x) [] A!N 000 x", "global set-agent-groups {\"data\":[{\"groups\":[\"\"]}]}",
		`{"command":"getagentsstats","parameters":{"agents":[1]}}`, "agent 001 sql SELECT 1", "global sync-agent-info-set [{\"id\":1}]",
		"Linux |a |b |c |x86_64 [Debian|debian: 12 (bookworm)] - Wazuh v4.14.7 / 0123456789abcdef0123456789abcdef\nx merged.mg\n"} {
		f.Add(text)
	}
	dir, err := os.MkdirTemp("", "wz")
	if err != nil {
		f.Fatal(err)
	}
	m, err := Start(Config{Home: dir, Keys: keysOf(1)})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = m.Close(); _ = os.RemoveAll(dir) })
	f.Fuzz(func(t *testing.T, text string) {
		if text == "" || len(text) > maxFrame {
			return // no frame holds it
		}
		for _, a := range m.wazuhDB.answerRequest(text) {
			if len(a) == 0 || len(a) > maxAnswer+len("due ") {
				t.Errorf("an answer of %d bytes", len(a))
			}
		}
		m.remoted.answerRequest([]byte(text))
		m.remoted.sendControl(text)
		parseKeepAlive(text)
	})
}
