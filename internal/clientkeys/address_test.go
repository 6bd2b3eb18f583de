package clientkeys

import (
	"net/netip"
	"testing"
)

func TestAnAddressContainsWhereItsAgentMayComeFrom(t *testing.T) {
	tests := []struct {
		name, address, from string
		want                bool
	}{
		{"any contains IPv4", "any", "192.0.2.1", true},
		{"any contains IPv6", "any", "2001:db8::1", true},
		{"one address contains itself", "192.0.2.1", "192.0.2.1", true},
		{"one address contains no other", "192.0.2.1", "192.0.2.2", false},
		{"IPv4 as a dual-stack socket reports it", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"IPv4 as the file has it in IPv6", "::ffff:192.0.2.1", "192.0.2.1", true},
		{"IPv6 written in full and upper case", "2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1", true},
		{"IPv6 with the zone of the link", "fe80::1", "fe80::1%eth0", true},
		{"a network contains its own", "10.0.0.0/8", "10.255.0.1", true},
		{"a network with host bits does so too", "10.1.2.3/8", "10.255.0.1", true},
		{"a network contains no other", "10.0.0.0/8", "11.0.0.1", false},
		{"a network of IPv4 in IPv6", "::ffff:10.0.0.0/104", "10.255.0.1", true},
		{"everything in IPv4", "0.0.0.0/0", "198.51.100.7", true},
		{"everything in IPv4 has no IPv6", "0.0.0.0/0", "2001:db8::1", false},
		{"an IPv6 network", "2001:db8::/32", "2001:db8:ffff::1", true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			a, err := ParseAddress(test.address)
			if err != nil {
				t.Fatal(err)
			}
			if have := a.Contains(netip.MustParseAddr(test.from)); have != test.want {
				t.Errorf("%s contains %s: %v", test.address, test.from, have)
			}
			if a.String() != test.address {
				t.Errorf("written back as %q", a)
			}
		})
	}
	if (Address{}).Contains(netip.MustParseAddr("192.0.2.1")) || (Address{}).SingleHost() {
		t.Error("the zero address contains something")
	}
	if a, _ := ParseAddress("any"); a.Contains(netip.Addr{}) {
		t.Error("any contains the invalid address")
	}
}

func TestOnlyAPlainAddressIsASingleHost(t *testing.T) {
	for address, want := range map[string]bool{
		"any": false, "192.0.2.1": true, "2001:db8::1": true,
		"192.0.2.1/32": false, "2001:db8::1/128": false, "10.0.0.0/8": false,
	} {
		a, err := ParseAddress(address)
		if err != nil || a.SingleHost() != want {
			t.Errorf("%s: %v, %v", address, a.SingleHost(), err)
		}
	}
}

func TestWhatIsNoAddressIsRefused(t *testing.T) {
	for _, s := range []string{"", "Any", "all", "10.0.0", "10.0.0.256", "10.0.0.1/33", "10.0.0.0/", "fe80::1%eth0", "host.example", "010.0.0.1"} {
		if _, err := ParseAddress(s); err == nil {
			t.Errorf("%q is taken", s)
		}
	}
}
