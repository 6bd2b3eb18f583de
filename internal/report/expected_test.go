package report

import (
	"slices"
	"strings"
	"testing"
)

func TestAListOfExpectedAgentsIsReadOrRefusedWithItsLine(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{ // !: the error
		{"a name a line", "web-1\r\n# a comment\r\n\r\n web-2 \r\n", "web-1 web-2"},
		{"a column", "\ufeffIP;Hostname\n1.1.1.1;web-1\n2.2.2.2;web-2\n;;;\n3.3.3.3\n", "web-1 web-2"},
		{"a field of two lines", "name,note\nweb-1,\"rack 5,\nrow 3\"\nweb-2,\n", "web-1 web-2"},
		{"inches", "name,note\nweb-1,19\" rack\nweb-2,\"a \"b\" c\"\n", "web-1 web-2"},
		{"a name that is never closed", "name\nweb-1\n\"web-2,x\nweb-3\n", "!line 3: a quotation mark opens a field there that does not end on that line"},
		{"a note that is never closed", "name,note\nweb-1,\"rack 5\nweb-2,\nweb-3,\n", "!line 2: a quotation mark opens a field there that does not end on that line"},
		{"a note that the next one closes", "name,note\nweb-1,\"rack 5\nweb-2,\"rack 6\"\nweb-3,\n", "!line 2: a quotation mark opens a field there that does not end on that line"},
		{"a name of two lines", "name\n\"web\n1\"\n", "!line 2: the name has a control character, such as the end of a line"},
		{"another encoding", "name\nweb-1\nw\xe4b-2\n", "!line 3: the name is not UTF-8 text: save the file as UTF-8"},
		{"no list at all", "\x00\x01\x02", "!line 1: the name has a control character, such as the end of a line"},
		{"a very long name", "name\n" + strings.Repeat("w", 254), "!line 2: the name is longer than 253 bytes"},
		{"JSON", ` [{"name":"web-1"}]`, "!it is JSON: want CSV, or a name a line"},
		{"nothing", "name\n\n,,,\n", "!it names no agent"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			names, err := ReadExpected(strings.NewReader(tt.text))
			got := strings.Join(slices.Clone(names), " ")
			if err != nil {
				got = "!" + err.Error()
			}
			if got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
