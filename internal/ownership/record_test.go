package ownership

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	stamp := Stamp{1795887217, 42}
	for _, want := range []Record{
		{Kind: ClaimRecord, Claim: Claim{Reason: Here, Since: 5, Sign: 7, From: 3, Seen: 9, Addr: netip.MustParseAddr("10.0.0.1")}},
		{Kind: ClaimRecord, Claim: Claim{Reason: Lost, Since: 4294967295, Addr: netip.MustParseAddr("2001:db8::1")}},
		{Kind: ClaimRecord, Read: 8, Claim: Claim{Reason: Moved}},
		{Kind: ClaimRecord, Claim: Claim{Reason: Lost, With: "node02", Since: 5}},
		{Kind: BeatRecord, Beat: Beat{Started: 1, Role: Master, Version: "1.2.3", Agents: 100000, Back: 12}},
		{Kind: BeatRecord, Beat: Beat{Version: "-", Told: []Verdict{{"node02", 77}, {"node-3", 0}}}},
		{Kind: VerdictRecord, Verdict: Verdict{"node02", 77}},
	} {
		want.Stamp = stamp
		var text []byte
		switch want.Kind {
		case ClaimRecord:
			text = AppendClaim(nil, stamp, &want.Claim, want.Read)
		case BeatRecord:
			text = AppendBeat(nil, stamp, &want.Beat)
		case VerdictRecord:
			text = AppendVerdict(nil, stamp, want.Verdict)
		}
		got, err := ParseRecord(string(text))
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
	}
}

func TestRecordsOfAnotherFormAreRefused(t *testing.T) {
	for _, text := range []string{
		"", "claim", "claim 1 1 here 1 1 1 1 -", "claim 1 1 here 1 1 1 1 - 01", "claim 1 1 here 1 1 1 1 - -", "claim 1 1 here 1 1 1 1 - - 0", "claim 0 1 here 1 1 1 1 - 0", "claim 1 0 here 1 1 1 1 - 0", "claim 01 1 here 1 1 1 1 - 0",
		"claim 1 1 gone 1 1 1 1 - 0", "claim 1 1 here@node02 1 1 1 1 - 0", "claim 1 1 lost@ 1 1 1 1 - 0", "claim 1 1 lost@no.de 1 1 1 1 - 0", "claim 1 1 here 1 1 2 1 - 0", "claim 1 1 here 4294967296 1 1 1 - 0", "claim 1 1 here 1 1 1 9223372036854775808 - 0",
		"claim 1 1 here 1 1 1 1 fe80::1%eth0 0", "claim 1 1 here 1 1 1 1 ::ffff:10.0.0.1 0", "claim 1 1 here 1 1 1 1 10.0.0.01 0", "claim 1 1 here 1 1 1 1 - 0\n",
		"claim  1 1 here 1 1 1 1 - 0", "beat 1 1 1 king 1.2 1 0 -", "beat 1 1 1 alone 1.2 1 0 node02", "beat 1 1 1 alone 1.2 1 0 no.de@1", "beat 1 1 1 alone 1.2 1 0",
		"lost 1 1 node02", "lost 1 1 no.de 1", "lost 1 1 * 1", "lost 1 1 node02 -1", "lost 1 1 node02 +1", "left 1 1 node02 1", "claim 1 1 here 1 1 1 1 - " + strings.Repeat("1", 3000),
	} {
		if r, err := ParseRecord(text); err == nil {
			t.Errorf("%.60q is read as %+v", text, r)
		}
	}
}

func TestKeysAreReadAsTheyWereWritten(t *testing.T) {
	for _, want := range []Key{
		{Node: "node01", Kind: ClaimRecord, Agent: 1}, {Node: "node01", Kind: ClaimRecord, Agent: 4294967295}, {Node: "n", Kind: BeatRecord},
		{Node: "node01", Kind: VerdictRecord, Other: "node02"}, {Node: "lost", Kind: VerdictRecord, Other: "node"},
	} {
		if got, ok := ParseKey(want.String()); !ok || got != want {
			t.Errorf("%s: %+v, %v", want, got, ok)
		}
	}
	for _, text := range []string{"", ".", "node01", "node01.", "node01.1", "node01.0001", "node01.01", "node01.4294967296", "node01.12345678901", "node01.1e3", "node01.+12",
		"node01.001.x", "node01.lost", "node01.lost.", "node01.lost.node01", "node01.lost.a.b", "node01.node.x", "no de.001", "a@b.001", "*.001", ">.001"} {
		if k, ok := ParseKey(text); ok {
			t.Errorf("%q is read as %+v", text, k)
		}
	}
}

func TestAClaimOfTheCallerIsNotTheOneOfTheKey(t *testing.T) {
	k, _ := ParseKey("node01.007")
	r, err := ParseRecord("claim 1 1 here 1 1 1 1 - 0")
	if err != nil || !k.Accepts(&r) || r.Claim.Agent != 7 {
		t.Errorf("%+v, %v", r, err)
	}
	for key, text := range map[string]string{"node01.007": "beat 1 1 1 alone 1 1 0 -", "node01.node": "claim 1 1 here 1 1 1 1 - 0", "node01.lost.b": "lost 1 1 c 1"} {
		k, _ := ParseKey(key)
		r, err := ParseRecord(text)
		if err != nil || k.Accepts(&r) {
			t.Errorf("%s accepts %s, %v", key, text, err)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add("node01.001", "claim 1795887217 42 here 5 7 3 9 10.0.0.1 0")
	f.Add("node01.node", "beat 1 2 3 master 1.2.3 4 5 node02@6,node03@7")
	f.Add("node01.lost.node02", "lost 1 2 node02 6")
	f.Fuzz(func(t *testing.T, keyText, text string) {
		key, ok := ParseKey(keyText)
		if ok && key.String() != keyText {
			t.Errorf("key %q is written %q", keyText, key)
		}
		r, err := ParseRecord(text)
		if err != nil {
			return
		}
		var again []byte
		switch r.Kind {
		case ClaimRecord:
			again = AppendClaim(nil, r.Stamp, &r.Claim, r.Read)
		case BeatRecord:
			again = AppendBeat(nil, r.Stamp, &r.Beat)
		case VerdictRecord:
			again = AppendVerdict(nil, r.Stamp, r.Verdict)
		}
		if string(again) != text {
			t.Errorf("%q is written %q", text, again)
		}
		if ok {
			_ = New("node01").Apply(max(1, r.Claim.Seen), key, r)
		}
	})
}
