package clientkeys

import (
	"os"
	"strings"
	"testing"
)

func FuzzParse(f *testing.F) {
	recorded, err := os.ReadFile("testdata/client.keys")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(recorded))
	for _, s := range []string{
		"", "\n\n", "001 a any K", "001 !a any K\r\n", "# c\n x\n", "001 a 10.0.0.0/8 K\n001 b ::1 K\n",
		"002 a ::ffff:10.0.0.1/128 K\n1000 b fe80::1%1 K\n", "2147483648 a any K\n", strings.Repeat("x\n", 200),
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set, problems, err := Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if len(problems) > maxProblems+1 || set.Len()+len(problems) > strings.Count(text, "\n")+2 {
			t.Fatalf("%d agents and %d problems", set.Len(), len(problems))
		}
		var again strings.Builder
		for k := range set.All() {
			checkKey(t, set, k)
			again.WriteString(strings.Join([]string{k.ID, k.Name, k.IP.String(), k.Secret}, " ") + "\n")
		}
		second, problems, err := Parse(strings.NewReader(again.String()))
		if err != nil || problems != nil || second.Len() != set.Len() {
			t.Fatalf("written again: %d agents for %d, %v, %v", second.Len(), set.Len(), problems, err)
		}
	})
}

func checkKey(t *testing.T, set *Set, k *Key) {
	t.Helper()
	if found, ok := set.ByID([]byte(k.ID)); !ok || found != k {
		t.Fatalf("%v is not found by its id", k)
	}
	if !k.IP.SingleHost() {
		return
	}
	p, _ := parseAddressPrefix(k.IP.String())
	found, ok := set.ByAddr(p.Addr())
	if !ok || !found.IP.Contains(p.Addr()) || !k.IP.Contains(p.Addr()) {
		t.Fatalf("%v is not found by its address, but %v", k, found)
	}
}
