package remoted

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// What remoted answers for an agent, and what it means.
func TestEveryRecordedAnswerOfARequestIsToldApart(t *testing.T) {
	want := map[string]Outcome{
		"active agent: state":         Answered,
		"001 agent bogus":             Answered, // the agent's own words
		"registered, never connected": NotConnected, "disconnected (SIGTERM)": NotConnected,
		"killed -9, socket closed, not yet expired":      NotConnected,
		"agent SIGSTOPped (TCP open, agent silent)":      Silent,
		"001 agent getconfig buffer":                     Invalid,
		"component not running on the agent (no socket)": Invalid,
	}
	for _, r := range testsupport.ReadRecordings(t, "remoted-requests.jsonl", "remoted-requests-slow.jsonl") {
		outcome, known := want[r.Desc]
		if !known {
			continue
		}
		delete(want, r.Desc)
		raw, _ := hex.DecodeString(r.Response)
		frame, err := wazuhsock.ReadFrame(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", r.Desc, err)
		}
		if got, err := parseState(frame); got != outcome || (err != nil) != (outcome == Invalid) {
			t.Errorf("%s: %v (%v), want %v", r.Desc, got, err, outcome)
		}
	}
	if len(want) > 0 {
		t.Errorf("not recorded: %v", want)
	}
	// Not recorded, but seen of a 4.14.7: an agent over UDP that is gone.
	if got, err := parseState([]byte("err Maximum attempts exceeded")); got != Silent || err != nil {
		t.Errorf("tried in vain: %v (%v)", got, err)
	}
}

func FuzzStates(f *testing.F) {
	for _, r := range testsupport.ReadRecordings(f, "remoted-requests.jsonl", "remoted-com.jsonl") {
		raw, err := hex.DecodeString(r.Response)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, err := wazuhsock.ReadFrame(bytes.NewReader(in))
		if err != nil {
			return
		}
		if what, err := parseState(frame); what == Invalid && err == nil || what >= outcomes {
			t.Errorf("%v, %v", what, err)
		}
	})
}
