package attach

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

func FuzzAnswers(f *testing.F) {
	for _, r := range recordings(f, "wazuh-db-readonly.jsonl", "remoted-requests.jsonl", "remoted-com.jsonl") {
		raw, err := hex.DecodeString(r.Response)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, err := readFrame(bytes.NewReader(in))
		if err != nil {
			return
		}
		if what, err := parseState(frame); what == odd && err == nil || what >= outcomes {
			t.Errorf("%v, %v", what, err)
		}
		body, _, err := parseAnswer(frame)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 1000 {
				t.Errorf("an error that is no line: %q", err)
			}
			return
		}
		var rows []row
		if json.Unmarshal([]byte(body), &rows) == nil {
			for i := range rows {
				if rows[i].check() == nil {
					_ = disconnected(detector.AgentID(rows[i].ID), rows[i].Name, rows[i].Registered)
				}
				if a := rows[i].addr(); a.Zone() != "" {
					t.Errorf("an address with a zone: %v", a)
				}
			}
		}
	})
}

func FuzzIDs(f *testing.F) {
	f.Add("1,5,99999999")
	f.Add("")
	f.Add("0")
	f.Add("4294967296,-1")
	f.Fuzz(func(t *testing.T, list string) {
		ids, err := parseIDs(list)
		for _, id := range ids {
			if err == nil && (id == 0 || id > detector.MaxAgentID) {
				t.Errorf("%q has %v", list, id)
			}
		}
	})
}

func FuzzAnnouncements(f *testing.F) {
	f.Add(announcement(netip.MustParseAddrPort("10.0.1.2:50000"), 1514))
	f.Add(announcement(netip.MustParseAddrPort("[2001:db8::2]:50004"), 1514))
	f.Fuzz(func(t *testing.T, in []byte) {
		_ = parseAnnouncements(in, agentsPort, func(far netip.AddrPort) {
			if !far.Addr().IsValid() {
				t.Error("an address that is none")
			}
		})
	})
}

func FuzzProc(f *testing.F) {
	f.Add(procText)
	f.Add(procText6)
	f.Fuzz(func(t *testing.T, in string) {
		_ = parseConnections(strings.NewReader(in), agentsPort, func(far netip.AddrPort) {
			if !far.Addr().IsValid() {
				t.Error("an address that is none")
			}
		})
	})
}
