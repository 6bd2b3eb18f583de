package clientkeys

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

const secret = "5c22152f4f0f7b774d9833cab7f8f5735a9473ce0b3e60de4e7686ca2f3f6942"

func TestEveryKindOfLine(t *testing.T) {
	tests := []struct {
		name, text string
		ids        string // of the agents found
		problems   string
	}{
		{"an empty file", "", "", ""},
		{"one agent", "001 web any K\n", "001", ""},
		{"an unterminated last line", "001 web any K", "001", ""},
		{"lines of Windows", "001 web any K\r\n\r\n002 db any K\r\n", "001 002", ""},
		{"empty lines, comments and indented lines", "\n# 001 a any K\n 002 b any K\n003 c any K\n", "003", ""},
		{"removed agents", "001 !web any K\n002 #web any K\n003 !web\n004 web any K\n", "004", ""},
		{"a removed agent's id in use again", "001 !web any K\n001 web any K\n", "001", ""},
		{"several spaces", "001  web   any K \n", "001", ""},
		{"ids in file order", "1000 a any K\n002 b any K\n001 c any K\n", "1000 002 001", ""},
		{"the largest id", "99999999 a any K\n", "99999999", ""},
		{"a name with all that is usual", "001 Web_01.example-x any K\n", "001", ""},
		{"a name beyond ASCII", "001 büro any K\n", "001", ""},
		{"ids not as Wazuh writes them", "1 a any K\n0001 a any K\n000 a any K\n-01 a any K\n100000000 a any K\n99999999999 a any K\n+001 a any K\n",
			"", strings.TrimSpace(strings.Repeat("line %: "+errID.Error()+"\n", 7))},
		{"too few and too many fields", "001 web any\n002\n003 web any K more\n", "",
			"line %: want 4 fields, have 3\nline %: want 4 fields, have 1\nline %: want 4 fields, have 5"},
		{"an id twice", "001 a any K\n001 b any K\n", "001", "\nline %: " + errDuplicate.Error()},
		{"a bad address", "001 a nowhere K\n", "", "line %: " + errAddress.Error()},
		{"a control character in the name", "001 a\x1bb any K\n", "", "line %: " + errName.Error()},
		{"a tab between fields", "001\ta\tany\tK\n", "", "line %: want 4 fields, have 1"},
		{"a name that is not UTF-8", "001 a\xff any K\n", "", "line %: " + errName.Error()},
		{"a name that is too long", "001 " + strings.Repeat("a", 129) + " any K\n", "", "line %: " + errName.Error()},
		{"the longest name", "001 " + strings.Repeat("a", 128) + " any K\n", "001", ""},
		{"a control character in the key", "001 a any K\x00\n", "", "line %: " + errSecret.Error()},
		{"a line that is too long", "001 a any " + strings.Repeat("K", maxLine) + "\n002 b any K\n", "002", "line %: " + errLine.Error()},
		{"a good line after a bad one", "x\n001 a any K\n", "001", "line %: want 4 fields, have 1"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set, problems, err := Parse(strings.NewReader(test.text))
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for k := range set.All() {
				ids = append(ids, k.ID)
			}
			if have := strings.Join(ids, " "); have != test.ids || set.Len() != len(ids) {
				t.Errorf("agents %q, want %q", have, test.ids)
			}
			if diff := cmp.Diff(wantProblems(test.problems), texts(problems)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// wantProblems numbers the lines: the n-th stands for line n of the file.
func wantProblems(s string) (want []string) {
	for i, line := range strings.Split(s, "\n") {
		if line != "" {
			want = append(want, strings.Replace(line, "%", fmt.Sprint(i+1), 1))
		}
	}
	return want
}

func texts(problems []Problem) (have []string) {
	for _, p := range problems {
		have = append(have, p.Error())
	}
	return have
}

func TestAgentsAreFoundByIDAndAddress(t *testing.T) {
	set, problems, err := Parse(strings.NewReader(`001 any any K1
002 one 192.0.2.1 K2
003 net 10.0.0.0/8 K3
004 six 2001:0DB8::1 K4
005 again 192.0.2.1 K5
006 narrow 192.0.2.6/32 K6
1000 big any K7
`))
	if err != nil || problems != nil {
		t.Fatal(problems, err)
	}
	for id, name := range map[string]string{
		"001": "any", "002": "one", "1000": "big", "1": "", "0001": "", "000": "", "007": "", "": "", "00a": "",
	} {
		k, ok := set.ByID([]byte(id))
		if ok != (name != "") || ok && k.Name != name {
			t.Errorf("id %q: %v", id, k)
		}
	}
	for addr, id := range map[string]string{
		"192.0.2.1": "002", "::ffff:192.0.2.1": "002", "2001:db8::1": "004", "192.0.2.6": "006", "10.0.0.1": "", "192.0.2.2": "",
	} {
		k, ok := set.ByAddr(netip.MustParseAddr(addr))
		if ok != (id != "") || ok && k.ID != id {
			t.Errorf("address %s: %v", addr, k)
		}
	}
	if k, ok := set.ByAddr(netip.Addr{}); ok {
		t.Errorf("no address: %v", k)
	}
	if _, ok := new(Set).ByID([]byte("001")); ok {
		t.Error("the zero set has an agent")
	}
	id, addr := []byte("1000"), netip.MustParseAddr("::ffff:192.0.2.1")
	if n := testing.AllocsPerRun(100, func() { set.ByID(id); set.ByAddr(addr) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTheRecordedFileReads(t *testing.T) {
	set, problems, err := ReadFile("testdata/client.keys")
	if err != nil || problems != nil || set.Len() != 9 {
		t.Fatal(set.Len(), problems, err)
	}
	k, _ := set.ByID([]byte("001"))
	if k.Name != "agent001" || k.IP.String() != "any" || k.Secret != secret {
		t.Errorf("have %v", k)
	}
}

func TestManyProblemsAreCountedNotKept(t *testing.T) {
	_, problems, err := Parse(strings.NewReader(strings.Repeat("bad\n", 1000)))
	if err != nil || len(problems) != maxProblems+1 {
		t.Fatal(len(problems), err)
	}
	if last := problems[maxProblems].Error(); last != "900 more broken lines" {
		t.Error(last)
	}
	for p, want := range map[Problem]string{problems[maxProblems]: "900 more broken lines: skipped, and their agents not known",
		{Line: 3, Err: errDuplicate}: "line 3: its id is on an earlier line already: it is skipped, and its agent not known"} {
		if got := p.Describe(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestNothingPrintedHoldsASecret(t *testing.T) {
	var out bytes.Buffer
	set, _, _ := Parse(strings.NewReader("001 web any " + secret))
	k, _ := set.ByID([]byte("001"))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb, *k)
		fmt.Fprintf(&out, verb, k)
		fmt.Fprintf(&out, verb, []Key{*k})
	}
	slog.New(slog.NewJSONHandler(&out, nil)).Info("hello", "key", k, "value", *k)

	for _, line := range []string{ // a secret anywhere else breaks the line
		secret, secret + " web any 001", "001 " + secret, "001 web " + secret, "001 web " + secret + " any",
		"001 \x01" + secret + " any K", "001 web any \x01" + secret, "001 web any K " + secret,
	} {
		_, problems, _ := Parse(strings.NewReader(line))
		if len(problems) != 1 {
			t.Errorf("%q: problems %v", line, problems)
		}
		fmt.Fprintf(&out, "%v %+v\n", problems, problems)
	}
	for _, s := range []string{secret[:8], fmt.Sprintf("%x", secret[:4])} {
		if strings.Contains(out.String(), s) {
			t.Errorf("%q is in:\n%s", s, out.String())
		}
	}
}

func TestAReadThatFailsIsAnErrorThatNamesTheFile(t *testing.T) {
	broken := errors.New("broken disk")
	if _, _, err := Parse(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Error(err)
	}
	if _, _, err := Parse(io.MultiReader(strings.NewReader("001 a any K\n"), iotest.ErrReader(broken))); !errors.Is(err, broken) {
		t.Error(err)
	}
	dir := t.TempDir()
	for path, want := range map[string]error{dir: nil, filepath.Join(dir, "client.keys"): os.ErrNotExist} {
		_, _, err := ReadFile(path)
		if err == nil || !strings.Contains(err.Error(), path) || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
