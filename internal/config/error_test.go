package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

// in puts elements, each on a line of its own from line 3, into a block on line 2.
func in(block string, elements ...string) string {
	text := "<ossec_config>\n<" + block + ">\n" + strings.Join(elements, "\n") + "\n</" + block + ">\n</ossec_config>"
	if block == "manager_keepalive" {
		text = strings.Replace(text, "<manager", "<remote><manager", 1)
		text = strings.Replace(text, "</manager_keepalive>", "</manager_keepalive></remote>", 1)
	}
	return text
}

const wantInterval = "want seconds or a duration such as 90s or 2m, from 100ms to 1d (default 60)"

var errorTests = []struct{ name, text, want string }{
	{"a misspelt element", in("nats", "<sever_url>nats://u:p@h</sever_url>"),
		"pulse.conf:3: <nats>: unknown element <sever_url>; did you mean <server_url>?"},
	{"an element of another block", in("pulse", "<server_url>nats://u:p@h</server_url>"),
		"pulse.conf:3: <pulse>: unknown element <server_url>; it belongs into <nats>"},
	{"an element of manager_keepalive elsewhere", in("pulse", "<interval>5</interval>"),
		"pulse.conf:3: <pulse>: unknown element <interval>; it belongs into <manager_keepalive>"},
	{"a block in a block", in("pulse", "<nats/>"),
		"pulse.conf:3: <pulse>: unknown element <nats>; it is a block of its own, directly inside <ossec_config>"},
	{"an element like no other", in("manager_keepalive", "<frobnicate/>"),
		"pulse.conf:3: <manager_keepalive>: unknown element <frobnicate>; known here: enabled, interval, timeout, max_missed, retry_interval, method, reconnect_grace, suspect_timeout, outage_share, outage_hold, flap_threshold, flap_window, host_probe, host_probe_ports, escalate_after, dormant_after, agent_group"},
	{"an element twice", in("nats", "<enabled>yes</enabled>", "<listen>h:1</listen>", "<enabled>no</enabled>"),
		"pulse.conf:5: <nats>: <enabled> is here twice, first on line 3; keep one"},
	{"a secret where its file belongs", in("nats", "<server_url>tls://h</server_url>", "<password>hunter2</password>"),
		"pulse.conf:4: <nats>: unknown element <password>; did you mean <password_file>?"},
	{"a word of several elements", in("nats", "<tls>yes</tls>"),
		"pulse.conf:3: <nats>: unknown element <tls>; did you mean <tls_ca>, <tls_cert> or <tls_key>?"},
	{"the block of keep-alives in another", in("pulse", "<manager_keepalive><interval>5</interval></manager_keepalive>"),
		"pulse.conf:3: <pulse>: unknown element <manager_keepalive>; it belongs into <remote>"},
	{"an element of remote elsewhere", in("pulse", "<port>1514</port>"),
		"pulse.conf:3: <pulse>: unknown element <port>; it belongs into <remote>"},
	{"a server without a scheme", in("nats", "<server_url>10.0.0.1:4222</server_url>"),
		"pulse.conf:3: <server_url>: the URL does not start with nats://, tls://, ws:// or wss://; " +
			"want nats://HOST:PORT (or tls, ws, wss), several separated by commas, or nothing (default empty)"},
	{"a duration beyond all", in("manager_keepalive", "<interval>99999999999999999999</interval>"),
		"pulse.conf:3: <interval>99999999999999999999</interval>: out of range; " + wantInterval},
	{"a duration beyond all, with a unit", in("manager_keepalive", "<interval>99999999999999999999.5d</interval>"),
		"pulse.conf:3: <interval>99999999999999999999.5d</interval>: out of range; " + wantInterval},
	{"a duration below zero", in("manager_keepalive", "<interval>-5</interval>"),
		"pulse.conf:3: <interval>-5</interval>: out of range; " + wantInterval},
	{"quotation marks of a word processor", in("manager_keepalive", "<agent_group name=\u201ca\u201d></agent_group>"),
		"pulse.conf:3: not well-formed XML: invalid XML name: \u201ca\u201d; write quotation marks as \" or '"},
	{"an attribute", in("nats", `<enabled since="4.7">yes</enabled>`),
		"pulse.conf:3: <enabled> has an attribute; settings are elements: remove it"},
	{"an attribute of a block", `<ossec_config><nats enabled="no"></nats></ossec_config>`,
		"pulse.conf:1: <nats> has an attribute; settings are elements: remove it"},
	{"stray text", in("nats", "<enabled>yes</enabled>", "", "server_url: nats://u:p@h"),
		"pulse.conf:5: <nats> has text between its elements; put it into an element or a comment"},
	{"an element in a value", in("nats", "<listen><host>h</host></listen>"),
		"pulse.conf:3: <listen> has an element inside; it takes a plain value"},
	{"a value out of range", in("manager_keepalive", "<interval>2d</interval>"),
		"pulse.conf:3: <interval>2d</interval>: out of range; " + wantInterval},
	{"a value on the lines after its element", in("manager_keepalive", "<interval>", "  soon", "</interval>"),
		"pulse.conf:3: <interval>soon</interval>: not a duration; " + wantInterval},
	{"no value", in("manager_keepalive", "<max_missed/>"),
		"pulse.conf:3: <max_missed></max_missed>: not a whole number; want a whole number from 1 to 100 (default 3)"},
	{"a very long value", in("nats", "<enabled>"+strings.Repeat("y", 1000)+"</enabled>"),
		"pulse.conf:3: <enabled>" + strings.Repeat("y", 64) + "...</enabled>: neither yes nor no; want yes or no (default yes)"},
	{"a value of many lines", in("nats", "<listen>a\nb\u200b</listen>"),
		"pulse.conf:3: <listen>a b?</listen>: not of the form HOST:PORT; want HOST:PORT with an IP address or name, such as 127.0.0.1:4222 or [::1]:4222 (default 127.0.0.1:4222)"},
	{"a size", in("pulse", "<telemetry_limit>1KB</telemetry_limit>"),
		"pulse.conf:3: <telemetry_limit>1KB</telemetry_limit>: out of range; want a size such as 512MB or 1GB, from 1MB to 1024TB (default 1GB)"},
	{"a word", in("manager_keepalive", "<method>ping</method>"),
		"pulse.conf:3: <method>ping</method>: unknown word; want request, notify or ack (default request)"},
	{"a link", in("pulse", "<link>wire</link>"),
		"pulse.conf:3: <link>wire</link>: unknown word; want auto, attach or listen (default auto)"},
	{"a timeout below the interval", in("manager_keepalive", "<timeout>30</timeout>"),
		"pulse.conf:3: timeout (30s) is below interval (60s): a live agent would be reported as disconnected; set <timeout> to at least 60s, better 180s"},
	{"an interval above the timeout", in("manager_keepalive", "<interval>10m</interval>"),
		"pulse.conf:3: timeout (180s) is below interval (600s): a live agent would be reported as disconnected; set <timeout> to at least 600s, better 1800s"},
	{"a certificate without its key", in("nats", "<tls_cert>/c</tls_cert>"),
		"pulse.conf:3: <tls_cert> without <tls_key>; set both or neither"},
	{"a key without its certificate", in("nats", "<tls_key>/k</tls_key>"),
		"pulse.conf:3: <tls_key> without <tls_cert>; set both or neither"},
	{"a user without a password", in("nats", "<server_url>tls://h</server_url>", "<user>u</user>"),
		"pulse.conf:4: <user> without <password_file>; set both or neither"},
	{"a password without a user", in("nats", "<server_url>tls://h</server_url>", "<password_file>/p</password_file>"),
		"pulse.conf:4: <password_file> without <user>; set both or neither"},
	{"two ways to log in", in("nats", "<server_url>tls://h</server_url>", "<token_file>/t</token_file>", "<nkey_file>/n</nkey_file>"),
		"pulse.conf:4: <token_file> beside <nkey_file> (pulse.conf:5): two ways to log in; keep one"},
	{"a login without a server", in("nats", "<nkey_file>/n</nkey_file>"),
		"pulse.conf:3: <nkey_file> without <server_url>: the embedded server asks nobody for a login; set <server_url>, or remove <nkey_file>"},
	{"a server that the node does not use", in("nats", "<server_config>/etc/nats-server.conf</server_config>"),
		"pulse.conf:3: <server_config> without <server_url>: this node would share nothing with the others; " +
			"set <server_url> to where that server listens, as pulse provision --hub does"},
	{"a login in plain text", in("nats", "<server_url>nats://127.0.0.1,nats://xdr:4222</server_url>", "<credentials_file>/c</credentials_file>"),
		"pulse.conf:3: <server_url>: the login of <credentials_file> would go to xdr:4222 without encryption; " +
			"write tls://xdr:4222 or set <tls_ca>; where the network itself is protected, <allow_plaintext>yes</allow_plaintext>"},
	{"a login in plain text over a web socket", in("nats", "<server_url>ws://xdr</server_url>", "<user>u</user>", "<password_file>/p</password_file>"),
		"pulse.conf:3: <server_url>: the login of <user> would go to xdr without encryption; " +
			"write wss://xdr or set <tls_ca>; where the network itself is protected, <allow_plaintext>yes</allow_plaintext>"},
	{"a password in the URL", in("nats", "<server_url>nats://a,nats://u:p@xdr</server_url>"),
		"pulse.conf:3: <server_url>: URL 2 of 2 has a user or a password in it, and secrets come from files only; " +
			"put them into <user> and the file of <password_file>, or a token into that of <token_file>"},
	{"a user with a line break", in("nats", "<user>a\tb</user>"),
		"pulse.conf:3: <user>a b</user>: has a character that cannot be printed; want a name of 1 to 256 bytes, or nothing (default empty)"},
	{"keep-alives for syslog", in("remote", "<manager_keepalive/>", "<connection>syslog</connection>"),
		"pulse.conf:3: <manager_keepalive> in a <remote> of syslog; move it into the <remote> with <connection>secure</connection>"},
	{"an unknown connection", in("remote", "<connection>sysolg</connection>"),
		"pulse.conf:3: <connection>sysolg</connection>: unknown word; want secure or syslog (default secure)"},
	{"keep-alives outside of remote", "<ossec_config>\n<manager_keepalive/></ossec_config>",
		"pulse.conf:2: <manager_keepalive> outside of <remote>; move it into <remote>"},
	{"a block without a root", "<nats/>",
		"pulse.conf:1: unknown root element <nats>; put settings inside <ossec_config>"},
	{"a manager's node name that NATS cannot carry", in("cluster", "<node_name>master.west</node_name>"),
		"pulse.conf:3: <node_name>master.west</node_name>: has a dot; change it there, where nodes share who has an agent; else give this node a name of its own with <pulse><node_name>"},
	{"text that is no XML", "\n\nport = 1514\n",
		"pulse.conf:3: text outside of any element; settings live inside <ossec_config>"},
	{"an element closed by another", "<ossec_config>\n<nats>\n</pulse>",
		"pulse.conf:3: </pulse> closes <nats> of line 2; close it with </nats>"},
	{"an end without a start", "<ossec_config/>\n</ossec_config>",
		"pulse.conf:2: </ossec_config> closes nothing"},
	{"a cut-off file", "<ossec_config>\n<nats>\n<enabled>yes</enabled>\n",
		"pulse.conf:2: <nats> is never closed; close it with </nats>"},
	{"a cut-off tag", "<ossec_config>\n<nats",
		"pulse.conf:2: not well-formed XML: unexpected EOF; an element is written <name>value</name>"},
	{"a cut-off comment", "<ossec_config>\n<!-- x\n</ossec_config>",
		"pulse.conf:2: the comment that starts here never ends; close it with -->"},
	{"a control character", "<ossec_config>\n\x01</ossec_config>",
		"pulse.conf:2: not well-formed XML: illegal character code U+0001; remove that character"},
	{"Latin-1 text", "<ossec_config>\n<!-- caf\xe9 -->\n</ossec_config>",
		"pulse.conf:2: not UTF-8 text; save the file as UTF-8"},
	{"UTF-16 text", "\xff\xfe<\x00o\x00", "pulse.conf:1: not UTF-8 text; save the file as UTF-8"},
	{"another encoding declared", "\n" + `<?xml version="1.0" encoding="ISO-8859-1"?><ossec_config/>`,
		"pulse.conf:2: the declared encoding is not UTF-8; save the file as UTF-8 and declare that"},
	{"another version of XML", `<?xml version="1.1"?><ossec_config/>`,
		`pulse.conf:1: not well-formed XML: xml: unsupported version "1.1"; only version 1.0 is supported`},
}

func TestAProblemIsOneLineWithItsPlaceAndTheWayOut(t *testing.T) {
	for _, tt := range errorTests {
		t.Run(tt.name, func(t *testing.T) {
			l, err := read(tt.text)
			if err == nil {
				t.Fatalf("accepted: %+v", l.Config)
			}
			if err.Error() != tt.want {
				t.Errorf("\n got %s\nwant %s", err, tt.want)
			}
			if _, ok := errors.AsType[*Error](err); !ok {
				t.Errorf("no *Error in a %T", err)
			}
		})
	}
}

func TestAllProblemsAreReportedUpToTwenty(t *testing.T) {
	_, err := read(in("nats", strings.Repeat("<nonsense/>\n", 25)), "<ossec_config>")
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 21 || lines[20] != "and 6 more problems" {
		t.Errorf("got %d lines:\n%v", len(lines), err)
	}
	for i, line := range lines[:20] {
		if want := fmt.Sprintf("pulse.conf:%d: ", i+3); !strings.HasPrefix(line, want) {
			t.Errorf("got %q, want %q first", line, want)
		}
	}
}

func TestABadValueBringsNoFurtherProblems(t *testing.T) {
	_, err := read(in("manager_keepalive", "<interval>5m</interval>", "<timeout>ten</timeout>"))
	if lines := strings.Count(err.Error(), "\n") + 1; lines != 1 {
		t.Errorf("got %d problems, want 1:\n%v", lines, err)
	}
}

func TestAPasswordNeverReachesAnError(t *testing.T) {
	const secret = "hunter2"
	for _, text := range []string{
		in("nats", "<server_url>nats://u:hunter2@</server_url>"),
		in("nats", "<server_url>u:hunter2@h</server_url>"),
		in("nats", "<server_url>hunter2:x@h</server_url>"),
		in("nats", "<server_url>nats://u:p@hunter2/x@h</server_url>"),
		in("nats", "<server_url>nats://u:%hunter2@h</server_url>"),
		in("nats", "<server_url>nats://u:1,hunter2@h</server_url>"),
		in("nats", "<server_url>nats://h?pass=hunter2</server_url>"),
		in("nats", "<server_url>nats://u:<hunter2@h</server_url>"),
		in("nats", "<server_url>nats://u:hunter2@h"),
		in("nats", "<server_url nats://u:hunter2@h</server_url>"),
		in("nats", "<server_url password='hunter2'>nats://u:p@h</server_url>"),
		in("nats", "<listen>nats://u:hunter2@h</listen>"),
		in("nats", "<credentials_file>nats://u:hunter2\n@h</credentials_file>"),
		in("nats", "<url>nats://u:hunter2@h</url>"),
		in("nats", "nats://u:hunter2@h"),
		"nats://u:hunter2@h",
	} {
		_, err := read(text)
		if err == nil {
			t.Errorf("accepted: %s", text)
		} else if strings.Contains(err.Error(), secret) {
			t.Errorf("the password is in the error: %v", err)
		}
	}
}
