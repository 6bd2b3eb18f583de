package config

import (
	"strings"
	"testing"
)

func TestASelectorIsUnderstoodOrRefusedWithoutBeingQuoted(t *testing.T) {
	const badID = "not an agent id from 001 to 99999999, nor a range of them"
	const badAddress = "neither an IP address without a zone nor ADDRESS/BITS"
	for _, tt := range []struct{ name, value, want string }{
		{"ids", "1", "001"},
		{"ids", "001,002,010-020", "001,002,010-020"},
		{"ids", " 5 - 7 ,\n 00003", "003,005-007"},
		{"ids", "4-4", "004"},
		{"ids", "10-20,15,18-30,1,1", "001,010-030"},
		{"ids", "10-100,20,30", "010-100"},
		{"ids", "99999999", "99999999"},
		{"ids", "100000000", "!" + badID},
		{"ids", "000", "!" + badID},
		{"ids", "000-010", "!" + badID},
		{"ids", "-5", "!" + badID},
		{"ids", "1-2-3", "!" + badID},
		{"ids", "+1", "!" + badID},
		{"ids", "web-01", "!" + badID},
		{"ids", "020-010", "!the range runs backwards"},
		{"ids", "", "!empty"},
		{"ids", "001,", "!entry 2 of 2: empty"},
		{"ids", "001,x,003", "!entry 2 of 3: " + badID},
		{"names", "web-*,dc??", "web-*,dc??"},
		{"names", " b ,\n a", "b,a"},
		{"names", `[a-c]?\*`, `[a-c]?\*`},
		{"names", "a[", "!a malformed pattern"},
		{"names", `*\`, "!a malformed pattern"},
		{"names", "*[", "!a malformed pattern"},
		{"names", "[a,b]", "!entry 1 of 2: a malformed pattern"},
		{"names", "web-* dc??", "!has a space"},
		{"names", "a\u007fb", "!has a character that cannot be printed"},
		{"names", "", "!empty"},
		{"wazuh_groups", " web,\nlinux-*", "web,linux-*"},
		{"wazuh_groups", "a[", "!a malformed pattern"},
		{"wazuh_groups", "web linux", "!has a space"},
		{"wazuh_groups", "a\u202eb", "!has a character that cannot be printed"},
		{"wazuh_groups", "web,", "!entry 2 of 2: empty"},
		{"wazuh_groups", "", "!empty"},
		{"addresses", "10.1.0.0/16,192.0.2.7", "10.1.0.0/16,192.0.2.7"},
		{"addresses", "10.1.2.3/16", "10.1.0.0/16"},
		{"addresses", "192.0.2.7/32", "192.0.2.7"},
		{"addresses", "0.0.0.0/0, ::/0", "0.0.0.0/0,::/0"},
		{"addresses", "2001:DB8::1/32", "2001:db8::/32"},
		{"addresses", "::ffff:192.0.2.7", "192.0.2.7"},
		{"addresses", "::ffff:10.0.0.0/104", "!" + badAddress},
		{"addresses", "fe80::1%eth0", "!" + badAddress},
		{"addresses", "10.0.0.0/33", "!" + badAddress},
		{"addresses", "10.0.0.0/255.0.0.0", "!" + badAddress},
		{"addresses", "10.1.*", "!" + badAddress},
		{"addresses", "any", "!" + badAddress},
		{"addresses", "", "!empty"},
	} {
		var g Group
		for _, s := range groupSettingTable(&g, pathGroup) {
			if s.elementName() == tt.name {
				checkField(t, s.field(nil), tt.name, tt.value, tt.want)
			}
		}
	}
}

func TestAGroupsNameIsOneWord(t *testing.T) {
	for name, ok := range map[string]bool{
		"servers": true, "tier-1_EU": true, "Büro": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "a b": false, "a.b": false, "a/b": false, "a'b": false, `a"b`: false, "a]": false, "*": false,
		"x\u200b": false,
	} {
		if err := groupName.check(name); (err == nil) != ok {
			t.Errorf("%q: got %v", name, err)
		}
	}
}
