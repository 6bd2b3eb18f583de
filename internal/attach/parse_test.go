package attach

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"golang.org/x/sys/unix"
)

// recorded are exchanges with real daemons.
type recorded struct {
	Desc     string `json:"desc"`
	Request  string `json:"request_payload"`
	Response string `json:"response_hex"`
}

func recordings(t testing.TB, names ...string) (all []recorded) {
	t.Helper()
	for _, name := range names {
		text, err := os.ReadFile("../managersim/testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		for d := json.NewDecoder(bytes.NewReader(text)); ; {
			var r recorded
			if err := d.Decode(&r); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
			all = append(all, r)
		}
	}
	return all
}

func TestEveryRecordedAnswerOfADatabaseIsUnderstood(t *testing.T) {
	refused := 0
	for _, r := range recordings(t, "wazuh-db-readonly.jsonl", "wazuh-db-mutating.jsonl") {
		raw, err := hex.DecodeString(r.Response)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(r.Request, "global ") {
			continue
		}
		for in := bytes.NewReader(raw); in.Len() > 0; {
			frame, err := readFrame(in)
			if err != nil {
				t.Fatalf("%s: %v", r.Desc, err)
			}
			_, last, err := parseAnswer(frame)
			if _, is := errors.AsType[refusal](err); is {
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

// What remoted answers for an agent, and what it means.
func TestEveryRecordedAnswerOfARequestIsToldApart(t *testing.T) {
	want := map[string]outcome{
		"active agent: state":         answered,
		"001 agent bogus":             answered, // the agent's own words
		"registered, never connected": notConnected, "disconnected (SIGTERM)": notConnected,
		"killed -9, socket closed, not yet expired":      notConnected,
		"agent SIGSTOPped (TCP open, agent silent)":      silent,
		"001 agent getconfig buffer":                     odd,
		"component not running on the agent (no socket)": odd,
	}
	for _, r := range recordings(t, "remoted-requests.jsonl", "remoted-requests-slow.jsonl") {
		outcome, known := want[r.Desc]
		if !known {
			continue
		}
		delete(want, r.Desc)
		raw, _ := hex.DecodeString(r.Response)
		frame, err := readFrame(bytes.NewReader(raw))
		if err != nil {
			t.Fatalf("%s: %v", r.Desc, err)
		}
		if got, err := parseState(frame); got != outcome || (err != nil) != (outcome == odd) {
			t.Errorf("%s: %v (%v), want %v", r.Desc, got, err, outcome)
		}
	}
	if len(want) > 0 {
		t.Errorf("not recorded: %v", want)
	}
	// Not recorded, but seen of a 4.14.7: an agent over UDP that is gone.
	if got, err := parseState([]byte("err Maximum attempts exceeded")); got != silent || err != nil {
		t.Errorf("tried in vain: %v (%v)", got, err)
	}
}

func TestFramesAreBounded(t *testing.T) {
	for name, in := range map[string]string{
		"too long":      "\xf0\xff\xff\xff" + "{}",
		"cut short":     "\x05\x00\x00\x00ok",
		"nothing in it": "\x05\x00\x00\x00",
		"half a length": "\x05\x00",
	} {
		if _, err := readFrame(strings.NewReader(in)); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := readFrame(strings.NewReader("")); !errors.Is(err, io.EOF) {
		t.Error(err)
	}
	text := strings.Repeat("x", maxFrame)
	if got, err := readFrame(bytes.NewReader(appendFrame(nil, text))); err != nil || string(got) != text {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

func TestRowsThatNoManagerMadeAreRefused(t *testing.T) {
	good := row{ID: 7, Name: "web-01", Registered: "10.0.0.0/8"}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*row){
		"the manager itself":  func(r *row) { r.ID = 0 },
		"an id too large":     func(r *row) { r.ID = int64(detector.MaxAgentID) + 1 },
		"no name":             func(r *row) { r.Name = "" },
		"a name with a break": func(r *row) { r.Name = "web\n01" },
		"a name with escapes": func(r *row) { r.Name = "web\x1b[2J" },
		"an endless name":     func(r *row) { r.Name = strings.Repeat("x", 300) },
		"an odd registration": func(r *row) { r.Registered = "any\n" },
	} {
		r := good
		if spoil(&r); r.check() == nil {
			t.Errorf("%s is taken", name)
		}
	}
	for text, want := range map[string]string{"10.1.2.3": "10.1.2.3", "::ffff:10.1.2.3": "10.1.2.3", "fe80::1%eth0": "fe80::1",
		"any": "invalid IP", "0.0.0.0": "invalid IP", "": "invalid IP", strings.Repeat("1", 100): "invalid IP"} {
		if got := (&row{Addr: text}).addr().String(); got != want {
			t.Errorf("%q is at %s, want %s", text, got, want)
		}
	}
}

func TestNodesAreToldApartInSQL(t *testing.T) {
	for want, p := range map[string]Place{
		"id > 0": {},
		"id > 0 AND coalesce(node_name, '') = 'it''s DROP'":                                      {Node: "it's; DROP", Worker: true},
		"id > 0 AND (coalesce(node_name, '') = 'west' OR connection_status = 'never_connected')": {Node: "west"},
	} {
		if got := p.ours(); strings.ReplaceAll(got, "  ", " ") != want {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

const procText = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:05EA 00000000:0000 0A 00000000:00000000 00:00000000 00000000   999        0 26313 1 0000000000000000 100 0 0 10 0
   1: 0100007F:05EA 0201000A:C350 01 00000000:00000000 00:00000000 00000000   999        0 26317 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:05EA 0301000A:C351 08 00000000:00000000 00:00000000 00000000   999        0 26318 1 0000000000000000 20 4 30 10 -1
   3: 0100007F:05EB 0401000A:C352 01 00000000:00000000 00:00000000 00000000   999        0 26319 1 0000000000000000 20 4 30 10 -1
`

const procText6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0000000000000000FFFF00000100007F:05EA 0000000000000000FFFF00000501000A:C353 01 00000000:00000000 00:00000000 00000000     0        0 27000 1
   1: B80D0120000000000000000001000000:05EA B80D0120000000000000000002000000:C354 01 00000000:00000000 00:00000000 00000000     0        0 27001 1
`

func agentsPort(port uint16) bool { return port == 1514 }

func TestOpenConnectionsAreFoundInProc(t *testing.T) {
	var got []string
	for _, text := range []string{procText, procText6} {
		if err := parseConnections(strings.NewReader(text), agentsPort, func(far netip.AddrPort) { got = append(got, far.String()) }); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"10.0.1.2:50000", "10.0.1.5:50003", "[2001:db8::2]:50004"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	for _, bad := range []string{"x\n1: a b\n", "x\n0: 0100007F:05EA 02:C350 01\n", "x\n0: 0100007F 0201000A:C350 01\n", "x\n" + strings.Repeat("0", 10000)} {
		if err := parseConnections(strings.NewReader(bad), agentsPort, func(netip.AddrPort) {}); err == nil {
			t.Errorf("%.40q is taken", bad)
		}
	}
}

// announcement is what the kernel says when a connection has ended.
func announcement(far netip.AddrPort, port uint16) []byte {
	m := make([]byte, netlinkHeader+diagLeast)
	binary.NativeEndian.PutUint32(m, uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], sockDiagByFamily)
	d := m[netlinkHeader:]
	d[diagFamily] = unix.AF_INET6
	if far.Addr().Is4() {
		d[diagFamily] = unix.AF_INET
	}
	binary.BigEndian.PutUint16(d[diagNearPort:], port)
	binary.BigEndian.PutUint16(d[diagFarPort:], far.Port())
	copy(d[diagFarAddr:], far.Addr().AsSlice())
	return m
}

func TestAnnouncementsAreUnderstood(t *testing.T) {
	four, six := netip.MustParseAddrPort("10.0.1.2:50000"), netip.MustParseAddrPort("[2001:db8::2]:50004")
	both := append(announcement(four, 1514), append(announcement(four, 1515), announcement(six, 1514)...)...)
	var got []netip.AddrPort
	if err := parseAnnouncements(both, agentsPort, func(far netip.AddrPort) { got = append(got, far) }); err != nil || !slices.Equal(got, []netip.AddrPort{four, six}) {
		t.Errorf("%v, %v", got, err)
	}
	short := announcement(four, 1514)[:40]
	binary.NativeEndian.PutUint32(short, 40)
	for _, bad := range [][]byte{both[:50], short, bytes.Repeat([]byte{0}, 20), bytes.Repeat([]byte{0xff}, 20)} {
		if err := parseAnnouncements(bad, agentsPort, func(netip.AddrPort) {}); err == nil {
			t.Errorf("%x is taken", bad)
		}
	}
}
