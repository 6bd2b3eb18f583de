package report

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
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
		{"a remark before the heading", "# exported; 2026-11-29\n\nname,ip\nweb-1,10.0.0.1\n", "web-1"},
		{"a spreadsheet's line about separators", "sep=;\nname;ip\nweb-1;10.0.0.1\n", "web-1"},
		{"numbered lines", "#,Name,IP\n1,web-1,10.0.0.1\n2,web-2,\n", "web-1 web-2"},
		{"a heading of another kind", "id,DNS_Name\n17,web-1.example.com\n", "web-1.example.com"},
		{"spaces behind separators", "id, \"Name\"\n1, \"web-1\"\n", "web-1"},
		{"columns without a heading", "web-1,10.0.0.1\nweb-2,10.0.0.2\n", "!line 1: none of its 2 columns is called name or hostname: give the column with the agents' names such a heading, or a name a line"},
		{"a heading that is not known", "who;where\nweb-1;here\n", "!line 1: none of its 2 columns is called name or hostname: give the column with the agents' names such a heading, or a name a line"},
		{"another separator", "name|ip\nweb-1|10.0.0.1\n", "!line 1: the name \"name|ip\" has a separator or a quotation mark in it"},
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

// A name without its domain may be any machine's of that name, but is one machine.
func TestEachAgentIsOneOfThoseThatAreExpected(t *testing.T) {
	for _, tt := range []struct{ expected, fleet, missing, unexpected string }{
		{"web-1.corp web-1.lab", "web-1", "web-1.lab", ""},
		{"web-1.corp web-1.lab", "WEB-1.LAB", "web-1.corp", ""},
		{"web-1.corp web-1.lab", "web-1 web-1.corp", "", ""},
		{"web-1.corp", "web-1.lab", "web-1.corp", "002"},
		{"web-1", "web-1.corp web-1.lab", "", "003"},
		{"10.1.2.3 10.9.9.9", "10.1.2.3 10.4.4.4", "10.9.9.9", "003"},
		{"web-1 web-1 web-1.", "web-1", "", ""},
		{"10 fe80::1", "10.1.2.3 FE80::1", "10", "002"},
	} {
		b := NewBuilder(start, at(24))
		b.SetExpected(strings.Fields(tt.expected))
		var fleet []Agent
		for i, name := range strings.Fields(tt.fleet) {
			fleet = append(fleet, Agent{ID: fmt.Sprintf("%03d", i+2), Name: name, Status: event.Active})
		}
		b.SetPresent(fleet)
		r := b.Report(ByAgent)
		var unexpected []string
		for _, a := range r.Unexpected {
			unexpected = append(unexpected, a.ID)
		}
		if got, also := strings.Join(r.Missing, " "), strings.Join(unexpected, " "); got != tt.missing || also != tt.unexpected {
			t.Errorf("expected %s, there %s: missing %q, unexpected %q", tt.expected, tt.fleet, got, also)
		}
	}
}
