package config

import (
	"fmt"
	"net/netip"
	"testing"
)

func TestAGroupMatchesByAnyOfItsSelectors(t *testing.T) {
	l := mustRead(t, in("manager_keepalive", `<agent_group name="g">`,
		"<ids>020-030, 7, 1-3, 25-40, 99999999</ids>", `<names>web-*,dc??,[a-c]x,\*,DB</names>`,
		"<addresses>10.1.2.3/16,192.0.2.7,2001:db8::/32,::ffff:192.0.2.9,fe80::/10</addresses>",
		"<max_missed>2</max_missed>", "</agent_group>"))
	g := &l.Groups[0]
	const noID, noName = 9, "none"
	for _, tt := range []struct {
		id         uint32
		name, addr string
		want       bool
	}{
		{1, noName, "", true}, {3, noName, "", true}, {4, noName, "", false}, {6, noName, "", false},
		{7, noName, "", true}, {19, noName, "", false}, {20, noName, "", true}, {31, noName, "", true}, {40, noName, "", true},
		{41, noName, "", false}, {99999999, noName, "", true}, {0, noName, "", false}, {4294967295, noName, "", false},
		{noID, "web-", "", true}, {noID, "web-01.example", "", true}, {noID, "Web-01", "", false}, {noID, "a-web-01", "", false},
		{noID, "dc01", "", true}, {noID, "dc1", "", false}, {noID, "dc001", "", false}, {noID, "bx", "", true}, {noID, "dx", "", false},
		{noID, "*", "", true}, {noID, "DB", "", true}, {noID, "DBA", "", false}, {noID, "", "", false},
		{noID, noName, "10.1.255.255", true}, {noID, noName, "10.2.0.0", false}, {noID, noName, "::ffff:10.1.0.1", true},
		{noID, noName, "192.0.2.7", true}, {noID, noName, "192.0.2.8", false}, {noID, noName, "192.0.2.9", true},
		{noID, noName, "2001:db8:1::1", true}, {noID, noName, "2001:db9::", false}, {noID, noName, "fe80::1%eth0", true},
		{noID, noName, "", false}, {1, "web-1", "10.1.0.1", true},
	} {
		var addr netip.Addr
		if tt.addr != "" {
			addr = netip.MustParseAddr(tt.addr)
		}
		if got := g.Matches(tt.id, tt.name, addr, ""); got != tt.want {
			t.Errorf("%d %q %v: got %v", tt.id, tt.name, addr, got)
		}
	}
}

func TestAnUnknownAddressIsInNoNetwork(t *testing.T) {
	g := Group{Addresses: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0"), netip.MustParsePrefix("::/0")}}
	if g.Matches(1, "a", netip.Addr{}, "") {
		t.Error("it matches")
	}
	if !g.Matches(1, "a", netip.MustParseAddr("192.0.2.1"), "") || !g.Matches(1, "a", netip.MustParseAddr("fe80::1%eth0"), "") {
		t.Error("a known one does not match")
	}
}

func TestAGroupMatchesByAnyOfAnAgentsWazuhGroups(t *testing.T) {
	l := mustRead(t, group("g", "<wazuh_groups>web, linux-*</wazuh_groups>"))
	g := &l.Groups[0]
	for groups, want := range map[string]bool{
		"web": true, "default,web": true, "web,default": true, "default,linux-eu,other": true, "linux-": true,
		"": false, "default": false, "web2": false, "Web": false, "my-web": false, "linux": false, "default,": false, ",": false,
		"default,we,b": false, // a pattern is of one group, not of the list
	} {
		if got := g.Matches(9, "none", netip.Addr{}, groups); got != want {
			t.Errorf("%q: got %v", groups, got)
		}
	}
	if n := testing.AllocsPerRun(100, func() { g.Matches(9, "none", netip.Addr{}, "default,other,more") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// BenchmarkMatches asks for an agent that matches none of 1000 ids, 20 patterns, 100 names, 20 networks and 20 Wazuh groups.
func BenchmarkMatches(b *testing.B) {
	var g Group
	for i := range uint32(1000) {
		g.IDs = append(g.IDs, IDRange{Lo: 2 * i, Hi: 2 * i})
	}
	for i := range 20 {
		g.Names = append(g.Names, fmt.Sprintf("web-%d-*", i))
		g.WazuhGroups = append(g.WazuhGroups, fmt.Sprintf("site-%d-*", i))
		g.Addresses = append(g.Addresses, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i)}), 16))
	}
	for i := range 100 {
		g.Names = append(g.Names, fmt.Sprintf("dc%02d", i))
	}
	addr := netip.MustParseAddr("10.99.0.1")
	b.ReportAllocs()
	for b.Loop() {
		if g.Matches(777, "mail-12.example", addr, "default,mail,linux") {
			b.Fatal("it matches")
		}
	}
}
