package wazuhdb

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/agentinfo"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/printable"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

func TestEveryRecordedAnswerOfADatabaseIsUnderstood(t *testing.T) {
	refused := 0
	for _, r := range testsupport.ReadRecordings(t, "wazuh-db-readonly.jsonl", "wazuh-db-mutating.jsonl") {
		raw, err := hex.DecodeString(r.Response)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(r.Request, "global ") {
			continue
		}
		for in := bytes.NewReader(raw); in.Len() > 0; {
			frame, err := wazuhsock.ReadFrame(in)
			if err != nil {
				t.Fatalf("%s: %v", r.Desc, err)
			}
			_, last, err := parseAnswerFrame(frame)
			if _, is := errors.AsType[RefusedError](err); is {
				refused++
			} else if err != nil {
				t.Errorf("%s: %v", r.Desc, err)
			}
			if last != !bytes.HasPrefix(frame, []byte("due ")) {
				t.Errorf("%s: last is %v of %.20q", r.Desc, last, frame)
			}
		}
	}
	if refused < 10 {
		t.Errorf("only %d refusals recognized", refused)
	}
}

func TestRowsThatNoManagerMadeAreRefused(t *testing.T) {
	good := Row{ID: 7, Name: "web-01", Registered: "10.0.0.0/8"}
	if err := good.checkRowValues(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Row){
		"the manager itself":  func(r *Row) { r.ID = 0 },
		"an id too large":     func(r *Row) { r.ID = int64(detector.MaxAgentID) + 1 },
		"no name":             func(r *Row) { r.Name = "" },
		"a name with a break": func(r *Row) { r.Name = "web\n01" },
		"a name with escapes": func(r *Row) { r.Name = "web\x1b[2J" },
		"an endless name":     func(r *Row) { r.Name = strings.Repeat("x", 300) },
		"an odd registration": func(r *Row) { r.Registered = "any\n" },
	} {
		r := good
		if spoil(&r); r.checkRowValues() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for text, want := range map[string]string{"10.1.2.3": "10.1.2.3", "::ffff:10.1.2.3": "10.1.2.3", "fe80::1%eth0": "fe80::1",
		"any": "invalid IP", "0.0.0.0": "invalid IP", "": "invalid IP", strings.Repeat("1", 100): "invalid IP"} {
		if got := (&Row{Addr: text}).ParseAddr().String(); got != want {
			t.Errorf("%q is at %s, want %s", text, got, want)
		}
	}
}

func TestNodesAreToldApartInSQL(t *testing.T) {
	for want, p := range map[string]ClusterRole{
		"id > 0": {},
		"id > 0 AND coalesce(node_name, '') = 'it''s DROP'":                                      {Node: "it's; DROP", Worker: true},
		"id > 0 AND (coalesce(node_name, '') = 'west' OR connection_status = 'never_connected')": {Node: "west"},
	} {
		if got := (Schema{}).ownAgentsSQL(p); strings.ReplaceAll(got, "  ", " ") != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestAnAnswerThatIsTooLongIsAReasonToAskForLess(t *testing.T) {
	for name, err := range map[string]error{"cut off": noRowsError{io.ErrUnexpectedEOF}, "refused": RefusedError("no"), "too long": wazuhsock.ExplainError(wazuhsock.FrameTooLongError(1<<20), "wazuh-db", "/s")} {
		limit := 3
		if !halvePageLimit(&limit, err) || limit != 1 || halvePageLimit(&limit, err) {
			t.Errorf("%s: %d are asked for", name, limit)
		}
	}
	limit := 3
	if halvePageLimit(&limit, wazuhsock.ExplainError(io.EOF, "wazuh-db", "/s")) || halvePageLimit(&limit, nil) || limit != 3 {
		t.Errorf("for another reason: %d", limit)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, r := range testsupport.ReadRecordings(f, "wazuh-db-readonly.jsonl") {
		raw, err := hex.DecodeString(r.Response)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add(wazuhsock.AppendFrame(nil, `ok [{"i":1,"n":"web","r":"any","o":"Ubuntu\u001b","v":"22.04","w":"Wazuh v4.9.2","g":"default,web,,\u202e"}]`))
	f.Fuzz(func(t *testing.T, in []byte) {
		frame, err := wazuhsock.ReadFrame(bytes.NewReader(in))
		if err != nil {
			return
		}
		body, _, err := parseAnswerFrame(frame)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 1000 {
				t.Errorf("an error that is no line: %q", err)
			}
			return
		}
		var rows []pageRow
		if json.Unmarshal([]byte(body), &rows) == nil {
			for i := range rows {
				if rows[i].checkRowValues() == nil && !printable.Is(rows[i].Name) {
					t.Errorf("a name of %q", rows[i].Name)
				}
				if a := rows[i].ParseAddr(); a.Zone() != "" {
					t.Errorf("an address with a zone: %v", a)
				}
				r := rows[i].row()
				if known := r.Info.Value(); !printable.Is(known.Groups+known.OSName+known.OSVersion+known.Version) || len(known.Groups) > agentinfo.MaxGroups {
					t.Errorf("known of it: %+v", known)
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
