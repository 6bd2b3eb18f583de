package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/seal"
)

// published are messages of a node as lines for pulse verify: every third is a status change.
func published(t *testing.T, signer *seal.Signer, epoch uint64, messages int) (lines []string) {
	t.Helper()
	source := message.Source{Node: "node01", Version: "1.2.3", Epoch: epoch}
	prefix := event.Prefix("wazuh.xdr")
	for i := range messages {
		var message any
		var s event.Security
		if i%3 == 0 {
			s = source.Stamp(prefix.StatusChange("001"), time.Now())
			message = event.StatusChangeMessage{StatusChange: event.StatusChange{AgentID: "001"}, Security: s}
		} else {
			s = source.Stamp(prefix.KeepAlive("001"), time.Now())
			message = event.KeepAliveMessage{Event: event.KeepAlive{AgentID: "001", EventType: event.KeepAliveSent}, Security: s}
		}
		payload, err := json.Marshal(message)
		if err != nil {
			t.Fatal(err)
		}
		line, err := json.Marshal(newStoredMessage(s.Subject, map[string][]string{seal.SignatureHeader: {signer.Sign(payload)}}, payload))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, string(line))
	}
	return lines
}

func TestStoredMessagesThatAreMissingAreTold(t *testing.T) {
	private := filepath.Join(t.TempDir(), "node.jwk")
	key, err := keys.CreatePrivate(private, seal.Signing)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := seal.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := seal.MarshalKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	public := filepath.Join(t.TempDir(), "public.jwks")
	if err := os.WriteFile(public, text, 0o644); err != nil {
		t.Fatal(err)
	}
	first, second := published(t, signer, 7, 12), published(t, signer, 9, 6)
	at := func(lines []string, sequences ...int) (some []string) {
		for _, s := range sequences {
			some = append(some, lines[s-1])
		}
		return some
	}
	for _, tt := range []struct {
		name  string
		lines []string
		part  bool
		says  []string
		err   string
	}{
		{"all are there", append(first[:12:12], second...), false, []string{"18 messages: 18 good, 0 refused, 0 missing"}, ""},
		{"some in another order", at(first, 1, 4, 3, 2, 7, 5, 6, 8, 9), false, []string{"9 messages: 9 good, 0 refused, 0 missing"}, ""},
		{"a status change and two more are missing", at(first, 1, 2, 3, 5, 8, 9, 10, 11), false,
			[]string{"missing: sequence 4 of node node01, epoch 7", "missing: sequences 6 to 7 of node node01, epoch 7", "8 good, 0 refused, 3 missing"}, "messages missing: 3"},
		{"it begins in the middle, with one that is late", at(first, 6, 5, 7, 8), false, []string{"0 missing"}, ""},
		{"a status change is ahead of what will come yet", at(first, 1, 2, 3, 7, 10), false, []string{"0 missing"}, ""},
		{"the next life lacks its beginning", append(first[:3:3], second[2:]...), false, []string{"missing: sequences 1 to 2 of node node01, epoch 9", "2 missing"}, "messages missing: 2"},
		{"it is a part", at(first, 2, 5, 8, 9), true, []string{"4 good, 0 refused\n"}, ""},
		{"one was changed, so it is missing too", append(append(first[:4:4], strings.Replace(first[4], `001`, `002`, 1)), first[5:8]...), false,
			[]string{"line 5: ", "missing: sequence 5 of", "7 good, 1 refused, 1 missing"}, "messages refused: 1 of 8"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "messages")
			if err := os.WriteFile(file, []byte(strings.Join(tt.lines, "\n")), 0o600); err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			c := verifyCommand{checkFlags: checkFlags{Keys: public}, File: file, Part: tt.part}
			err := c.Run(&env{ctx: t.Context(), stdout: &said})
			if tt.err == "" && err != nil || tt.err != "" && (err == nil || err.Error() != tt.err) {
				t.Errorf("%v, want %q", err, tt.err)
			}
			if n := strings.Count(said.String(), "missing: "); n != strings.Count(strings.Join(tt.says, "\n"), "missing: ") {
				t.Errorf("%d rows are missing", n)
			}
			for _, want := range tt.says {
				if !strings.Contains(said.String(), want) {
					t.Errorf("%q is not in\n%s", want, said.String())
				}
			}
		})
	}
}

// A follower tells once what is missing at two looks in a row.
func TestAFollowerGivesAMessageTimeToBeLate(t *testing.T) {
	came, under := sequenceTracker{}, "x.manager."
	hear := func(sequences ...uint64) {
		for _, q := range sequences {
			came.addMessage(&seal.Opened{Message: &event.KeepAliveMessage{}, Security: event.Security{Node: "node01", Epoch: 7, Sequence: q, Subject: "x.manager.keepalive.001"}}, under)
		}
	}
	var told []string
	look := func(want ...string) {
		t.Helper()
		told = nil
		came.reportOverdue(func(which string) { told = append(told, which) })
		if strings.Join(told, "; ") != strings.Join(want, "; ") {
			t.Errorf("told %q, want %q", told, want)
		}
	}
	hear(1, 2, 4, 6)
	look()
	hear(3, 9)
	look("sequence 5 of node node01, epoch 7")
	hear(8)
	look("sequence 7 of node node01, epoch 7")
	look()
	came, under = sequenceTracker{}, "x.manager.manager." // as with --subject 'x.manager.>'
	hear(1, 3, 4)
	look()
	look()
	if came.hasDue() {
		t.Error("of a part, something is missing")
	}
}
