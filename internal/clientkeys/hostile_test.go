package clientkeys

import (
	"errors"
	"io"
	"net/netip"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// zeros is an endless file of NUL.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// allocated is how much f takes from the heap, whether or not it lets it go.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestAFileTakesMemoryForItsAgentsAlone(t *testing.T) {
	const most = 1 << 20
	good := "\n001 a any K\n"
	for name, text := range map[string]io.Reader{
		"a line of 128 MiB":         io.LimitReader(zeros{}, 128<<20),
		"a comment of 64 MiB":       io.MultiReader(strings.NewReader("#"), io.LimitReader(zeros{}, 64<<20)),
		"many broken and long ones": strings.NewReader(strings.Repeat(strings.Repeat("x", maxLine+1)+"\n", 1000)),
	} {
		var set *Set
		var err error
		if n := allocated(func() { set, _, err = Parse(io.MultiReader(text, strings.NewReader(good))) }); n > most {
			t.Errorf("%s: %d bytes", name, n)
		}
		if err != nil || set.Len() != 1 {
			t.Errorf("%s: %v, %v", name, set, err)
		}
	}
}

func TestAFileThatIsNoFileDoesNotHoldUpTheReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "client.keys")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := ReadFile(path)
	if _, ok := errors.AsType[*ReadError](err); !ok || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("%v", err)
	}
}

func TestNetworksWithAMaskAndExclusionsAreUnderstoodAsTheManagerDoes(t *testing.T) {
	for _, tt := range []struct {
		address, in, out string
	}{
		{"10.0.0.0/255.255.255.0", "10.0.0.7", "10.0.1.7"},
		{"10.0.0.9/255.255.255.0", "10.0.0.7", "10.0.1.7"},
		{"10.0.0.5/255.0.0.255", "10.9.9.5", "10.9.9.6"},
		{"!10.0.0.5", "10.0.0.6", "10.0.0.5"},
		{"!10.0.0.0/24", "10.0.1.6", "10.0.0.5"},
		{"!10.0.0.0/255.255.255.0", "2001:db8::1", "::ffff:10.0.0.5"},
		{"!2001:db8::/32", "192.0.2.1", "2001:db8::1"},
	} {
		set, problems, err := Parse(strings.NewReader("001 a " + tt.address + " K\n"))
		if err != nil || len(problems) > 0 {
			t.Errorf("%s: %v, %v", tt.address, problems, err)
			continue
		}
		k, _ := set.ByID([]byte("001"))
		if !k.IP.Contains(netip.MustParseAddr(tt.in)) || k.IP.Contains(netip.MustParseAddr(tt.out)) || k.IP.SingleHost() || k.IP.Contains(netip.Addr{}) {
			t.Errorf("%s: %s in it: %v, %s in it: %v, one host: %v", tt.address, tt.in, k.IP.Contains(netip.MustParseAddr(tt.in)),
				tt.out, k.IP.Contains(netip.MustParseAddr(tt.out)), k.IP.SingleHost())
		}
	}
	for _, bad := range []string{"!", "!any", "!!10.0.0.5", "10.0.0.0/255.255.255", "10.0.0.0/256.0.0.0", "::1/255.255.255.0", "!10.0.0.5/33"} {
		if _, err := ParseAddress(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestALineThatIsCutOffWithinItsKeyIsNoLine(t *testing.T) {
	known := parseKeysText("001 a any KEYA\n002 b 192.0.2.2 KEYB\n")
	for text, want := range map[string]int{
		"001 a any KEYA\n002 b 192.0.2.2 KE":      1,
		"001 a any KEYA\n002 b 192.0.2.2 KEYB":    2,
		"001 a any KEYA\n002 b 192.0.2.2 KE\n":    2, // it is whole: another key
		"001 a any KEYA\n002 b 192.0.2.2 OTHER":   2,
		"001 a any KEYA\n003 c 192.0.2.2 KE":      2,
		"":                                        0,
		"001 a any KEYA\n002 b 192.0.2.2 KE\n\n#": 2,
	} {
		got := parseKeysText(text).WithoutTorn(known)
		_, addressed := got.ByAddr(netip.MustParseAddr("192.0.2.2"))
		if got.Len() != want || addressed != (want == 2) || got.Damaged() && want == 2 {
			t.Errorf("%q: %d agents, want %d", text, got.Len(), want)
		}
	}
}

func TestMoreAgentsAreAddedToASetAndReplaceNone(t *testing.T) {
	set, _, _ := Parse(strings.NewReader("001 a any K\n003 !c any K\nx\n"))
	more, _, _ := Parse(strings.NewReader("001 other any L\n002 b 192.0.2.1 K\n"))
	all := set.WithKeys(more.Keys())
	if k, _ := all.ByID([]byte("001")); all.Len() != 2 || k.Name != "a" {
		t.Errorf("%v", all.Keys())
	}
	if k, ok := all.ByAddr(netip.MustParseAddr("192.0.2.1")); !ok || k.ID != "002" {
		t.Errorf("%v", k)
	}
	if _, ok := set.ByID([]byte("002")); ok || set.Len() != 1 || new(Set).WithKeys(more.Keys()).Len() != 2 {
		t.Error("the set it was made of is changed")
	}
	if !all.Removed([]byte("003")) || all.Removed([]byte("001")) || all.Damaged() {
		t.Errorf("%+v", all)
	}
}
