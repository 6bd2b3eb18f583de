package managersim

import (
	"net/http"
	"os"
	"slices"
	"strings"
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

// The same for a manager of 5, with its agents' messages.
func FuzzSocketsOf5(f *testing.F) {
	for _, text := range []string{"global get-agent-info 1024", "global sql SELECT 1; SELECT 2", "global sql ", "global update-keepalive {\"id\":1024,\"connection_status\":\"active\",\"sync_status\":\"synced\"}",
		`global update-status-code {"id":1024,"status_code":0,"sync_status":"synced","connection_status":"pending","version":"v5.0.0"}`,
		`global update-agent-data {"id":1024,"connection_status":"active","sync_status":"synced"}`, "global sync-agent-info-get last_id 0", `{"command":"getconfig"}`,
		"1024 agent getstate", `{"type":"startup","version":"v5.0.0"}`, `{"type":"notify","host":{"os":{}}}`, `{"type":"notify","agent":{}}`, `{"type":"shutdown"}`, `{"type":1}`} {
		f.Add(text)
	}
	dir, err := os.MkdirTemp("", "wz")
	if err != nil {
		f.Fatal(err)
	}
	m, err := Start(Config{Home: dir, Keys: keysOf5(1), Version: "v5.0.0"})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = m.Close(); _ = os.RemoveAll(dir) })
	f.Fuzz(func(t *testing.T, text string) {
		if code := m.HandleControl("1024", []byte(text)); !slices.Contains([]int{http.StatusOK, http.StatusBadRequest}, code) {
			t.Errorf("status %d", code)
		}
		m.wazuhDB.answerHTTP(http.MethodGet, text)
		lower := strings.ToLower(text)
		if text == "" || len(text) > maxFrame || strings.Contains(lower, "attach") || strings.Contains(lower, "vacuum") || strings.Contains(lower, "recursive") {
			return // no frame holds it; or a statement, as 5 runs any, that makes files or has no end
		}
		for _, a := range m.wazuhDB.answerRequest(text) {
			if len(a) == 0 || len(a) > maxAnswer+len("due ") {
				t.Errorf("an answer of %d bytes", len(a))
			}
		}
		m.remoted.answerRequest([]byte(text))
	})
}
