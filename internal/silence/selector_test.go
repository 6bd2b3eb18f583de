package silence

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func mustSelect(t testing.TB, all bool, agent, group, network string) *Selector {
	t.Helper()
	s, err := ParseSelector(all, agent, group, network)
	if err != nil {
		t.Fatalf("%q %q %q: %v", agent, group, network, err)
	}
	return &s
}

var web7 = Agent{ID: 7, Name: "web-7", IP: "10.1.2.3", Groups: "default,web"}

func TestAllConditionsThatAreGivenHaveToMatch(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		agent, group, network string
		selects               bool
	}{
		{"007", "", "", true}, {"7", "", "", true}, {"008", "", "", false}, {"001-010", "", "", true}, {"008,001-007", "", "", true},
		{"web-*", "", "", true}, {"WEB-*", "", "", false}, {"db-*,web-?", "", "", true}, {"web", "", "", false}, {"*7", "", "", true},
		{"", "web", "", true}, {"", "default", "", true}, {"", "we", "", false}, {"", "w*", "", true}, {"", "db,web", "", true},
		{"", "", "10.1.0.0/16", true}, {"", "", "10.2.0.0/16", false}, {"", "", "10.1.2.3", true}, {"", "", "::/0", false}, {"", "", "10.2.0.0/16,10.1.2.0/24", true},
		{"007", "web", "10.1.2.0/24", true}, {"008", "web", "10.1.2.0/24", false}, {"007", "db", "10.1.2.0/24", false}, {"007", "web", "10.9.0.0/16", false},
	} {
		s := mustSelect(t, false, c.agent, c.group, c.network)
		if got := s.Matches(&web7); got != c.selects {
			t.Errorf("%v: %v", s, got)
		}
		if got := NewIndex([]*Selector{s}).Selects(&web7); got != c.selects {
			t.Errorf("an index of %v: %v", s, got)
		}
	}
}

func TestAnAgentWithoutAnAddressIsInNoNetwork(t *testing.T) {
	t.Parallel()
	s := mustSelect(t, false, "", "", "0.0.0.0/0,::/0")
	for ip, want := range map[string]bool{"": false, "any": false, "10.0.0.0/8": false, "10.0.0.1": true, "::ffff:10.0.0.1": true, "fe80::1%eth0": true} {
		a := Agent{ID: 1, Name: "a", IP: ip}
		if s.Matches(&a) != want || NewIndex([]*Selector{s}).Selects(&a) != want {
			t.Errorf("%q", ip)
		}
	}
}

func TestASelectorOfNothingIsRefusedAndAllIsExplicit(t *testing.T) {
	t.Parallel()
	if _, err := ParseSelector(false, "", "", ""); err != ErrSelectsNothing {
		t.Error(err)
	}
	if s := mustSelect(t, true, "", "", ""); !s.Matches(&web7) || !s.Matches(&Agent{}) || s.String() != "all agents" {
		t.Error(s)
	}
	if (&Selector{}).Matches(&web7) {
		t.Error("the zero value selects")
	}
	for text, c := range map[string][3]string{
		"one or the other":      {"001", "", ""},
		"not an agent id":       {"000", "", ""},
		"runs backwards":        {"5-3", "", ""},
		"malformed pattern":     {"web-[", "", ""},
		"has a space":           {"web 1", "", ""},
		`agent "": empty`:       {"web-1,,web-2", "", ""},
		"cannot be printed":     {"", "a\x1bb", ""},
		"neither an IP address": {"", "", "10.0.0.0/33"},
		"want 10.1.0.0/16":      {"", "", "10.1.2.3/16"},
		"longer than 1024":      {strings.Repeat("a", 1025), "", ""},
	} {
		if _, err := ParseSelector(text == "one or the other", c[0], c[1], c[2]); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("want %q, have %v", text, err)
		}
	}
}

// pick returns one of some texts, or none of them.
func pick(r *rand.Rand, texts ...string) string {
	if r.IntN(2) == 0 {
		return ""
	}
	return texts[r.IntN(len(texts))]
}

func randomSelector(r *rand.Rand) (Selector, error) {
	lo := r.IntN(40) + 1
	agent := pick(r, fmt.Sprint(lo), fmt.Sprintf("%d-%d", lo, lo+r.IntN(20)), fmt.Sprintf("h-%d", lo), "h-*", "h-1*", "*1", "*-2?", "?-1", "*1*", `h\-3`, "h-[12]", "*]", "h-4,*5,9")
	group := pick(r, "a", "b", "a,b", "*", "[ab]")
	network := pick(r, "10.0.0.0/8", "10.0.0.0/30", "10.0.0.7", "10.0.0.8/29,fd00::/8", "0.0.0.0/0")
	return ParseSelector(r.IntN(200) == 0, agent, group, network)
}

// An index gives the answers of its selectors, looked at one by one.
func TestAnIndexFindsWhatItsSelectorsSelect(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		var list []*Selector
		for range r.IntN(8) {
			if s, err := randomSelector(r); err == nil {
				list = append(list, &s)
			}
		}
		x := NewIndex(list)
		for id := uint32(1); id < 64; id++ {
			a := Agent{ID: id, Name: fmt.Sprintf("h-%d", id%24), IP: fmt.Sprintf("10.0.0.%d", id%16), Groups: pick(r, "a", "b", "c", "c,a")}
			if id%9 == 0 {
				a.IP = "fd00::1"
			}
			want := slices.ContainsFunc(list, func(s *Selector) bool { return s.Matches(&a) })
			if x.Selects(&a) != want {
				t.Fatalf("%v of %+v: want %v", list, a, want)
			}
		}
	}
}

func TestTheIDsOfAnIndexAreListedWhereTheySelectAlone(t *testing.T) {
	t.Parallel()
	ids := func(agents ...string) []uint32 {
		var list []*Selector
		for _, a := range agents {
			list = append(list, mustSelect(t, false, a, "", ""))
		}
		return NewIndex(list).ListedIDs(10)
	}
	if got := ids("003,001", "7"); !slices.Equal(got, []uint32{1, 3, 7}) {
		t.Error(got)
	}
	if ids("001", "web-1") != nil || ids("001-900") != nil || ids("1,2,3,4,5,6", "7,8,9,10,11") != nil {
		t.Error("listed what is not a few ids")
	}
}

// benchmarkIndex has 10 000 selectors of all kinds, and a million agents.
func benchmarkIndex(tb testing.TB) (*Index, func(i int) Agent) {
	list := make([]*Selector, 0, 10_000)
	for i := range cap(list) {
		switch i % 5 {
		case 0:
			list = append(list, mustSelect(tb, false, fmt.Sprint(i+1), "", ""))
		case 1:
			list = append(list, mustSelect(tb, false, fmt.Sprintf("site%d-*", i), "", ""))
		case 2:
			list = append(list, mustSelect(tb, false, "", fmt.Sprintf("group%d", i), ""))
		case 3:
			list = append(list, mustSelect(tb, false, "", "", fmt.Sprintf("10.%d.%d.0/24", i/256, i%256)))
		default:
			list = append(list, mustSelect(tb, false, "host-*", fmt.Sprintf("group%d,web", i), fmt.Sprintf("172.16.%d.0/24", i%256)))
		}
	}
	return NewIndex(list), func(i int) Agent {
		return Agent{ID: uint32(i + 1), Name: fmt.Sprintf("host-%d", i), IP: fmt.Sprintf("10.%d.%d.%d", 64+i>>16, i>>8&255, i&255), Groups: "default,linux"}
	}
}

func BenchmarkIndexOfTenThousand(b *testing.B) {
	x, agent := benchmarkIndex(b)
	a := make([]Agent, 1<<16)
	for i := range a {
		a[i] = agent(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x.Selects(&a[i&(len(a)-1)])
	}
}

func BenchmarkNewIndexOfTenThousand(b *testing.B) {
	x, _ := benchmarkIndex(b)
	var list []*Selector
	for _, filed := range x.filed {
		list = append(list, filed...)
	}
	for b.Loop() {
		NewIndex(list)
	}
}
