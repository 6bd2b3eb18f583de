package config

import (
	"strings"
	"testing"
	"time"
)

func TestAValueIsUnderstoodOrRefusedWithoutBeingQuoted(t *testing.T) {
	long := strings.Repeat("x", 129)
	tests := []struct {
		path, value string
		want        string // as it would be written, or the problem after a !
	}{
		{"remote/port", "1", "1"},
		{"remote/port", "65535", "65535"},
		{"remote/port", "0", "!out of range"},
		{"remote/port", "65536", "!out of range"},
		{"remote/port", "99999999999999999999", "!out of range"},
		{"remote/port", "-1", "!out of range"},
		{"remote/port", "1.5", "!not a whole number"},
		{"remote/port", "", "!not a whole number"},
		{"remote/protocol", "tcp", "tcp"},
		{"remote/protocol", "udp", "udp"},
		{"remote/protocol", " UDP , tcp", "tcp,udp"},
		{"remote/protocol", "tcp,", "!unknown protocol"},
		{"remote/protocol", "", "!unknown protocol"},
		{"remote/local_ip", "::", "::"},
		{"remote/local_ip", "eth0", "!not an IP address"},
		{"nats/enabled", "yes", "yes"},
		{"nats/enabled", "Yes", "!neither yes nor no"},
		{"nats/enabled", "", "!neither yes nor no"},
		{pathInterval, "90", "90"},
		{pathInterval, "90s", "90"},
		{pathInterval, "2m", "120"},
		{pathInterval, "1h", "3600"},
		{pathInterval, "1d", "86400"},
		{pathInterval, "0.5d", "43200"},
		{pathInterval, "100ms", "100ms"},
		{pathInterval, "1.25", "1.25s"},
		{pathInterval, "1m0.5s", "1m0.5s"},
		{pathInterval, "99ms", "!out of range"},
		{pathInterval, "2d", "!out of range"},
		{pathInterval, "90000d", "!out of range"},
		{pathInterval, "200000d", "!out of range"},
		{pathInterval, "-5s", "!out of range"},
		{pathInterval, "soon", "!not a duration"},
		{pathInterval, "5 m", "!not a duration"},
		{pathInterval, "", "!not a duration"},
		{pathInterval, ".", "!not a duration"},
		{pathKeepAlive + "/suspect_timeout", "99ms", "!out of range"},
		{pathKeepAlive + "/outage_share", "1", "1"},
		{pathKeepAlive + "/outage_share", "100%", "100"},
		{pathKeepAlive + "/outage_share", "30 %", "30"},
		{pathKeepAlive + "/outage_share", "0", "!out of range"},
		{pathKeepAlive + "/outage_share", "101%", "!out of range"},
		{pathKeepAlive + "/outage_share", "0.3", "!not a whole number"},
		{pathKeepAlive + "/outage_share", "30%%", "!not a whole number"},
		{pathKeepAlive + "/outage_share", "%", "!not a whole number"},
		{pathKeepAlive + "/outage_hold", "0", "0"},
		{pathKeepAlive + "/outage_hold", "1d1s", "!not a duration"},
		{pathKeepAlive + "/flap_threshold", "0", "!out of range"},
		{pathKeepAlive + "/flap_window", "999ms", "!out of range"},
		{pathKeepAlive + "/flap_window", "10m", "600"},
		{pathKeepAlive + "/host_probe_ports", "", ""},
		{pathKeepAlive + "/host_probe_ports", "22", "22"},
		{pathKeepAlive + "/host_probe_ports", "65535 , 1", "65535,1"},
		{pathKeepAlive + "/host_probe_ports", "1,2,3,4,5,6,7,8", "1,2,3,4,5,6,7,8"},
		{pathKeepAlive + "/host_probe_ports", "1,2,3,4,5,6,7,8,9", "!more than 8 entries"},
		{pathKeepAlive + "/host_probe_ports", "22,22", "!entry 2 of 2: a port that is here twice"},
		{pathKeepAlive + "/host_probe_ports", "22,0", "!entry 2 of 2: out of range"},
		{pathKeepAlive + "/host_probe_ports", "65536", "!out of range"},
		{pathKeepAlive + "/host_probe_ports", "22,,445", "!entry 2 of 3: empty"},
		{pathKeepAlive + "/host_probe_ports", "ssh", "!not a whole number"},
		{pathKeepAlive + "/host_probe_ports", "20-25", "!not a whole number"},
		{pathKeepAlive + "/host_probe_ports", "no", "!not a whole number"},
		{pathKeepAlive + "/escalate_after", "60s,1h,1d", "60,3600,86400"},
		{pathKeepAlive + "/escalate_after", "100ms , 1d", "100ms,86400"},
		{pathKeepAlive + "/escalate_after", "no", "no"},
		{pathKeepAlive + "/escalate_after", "", "no"},
		{pathKeepAlive + "/escalate_after", "No", "!not a duration"},
		{pathKeepAlive + "/escalate_after", "0", "!out of range"},
		{pathKeepAlive + "/escalate_after", "1h,60", "!entry 2 of 2: not longer than the one before"},
		{pathKeepAlive + "/escalate_after", "60,1m", "!entry 2 of 2: not longer than the one before"},
		{pathKeepAlive + "/escalate_after", "60,no", "!entry 2 of 2: not a duration"},
		{pathKeepAlive + "/escalate_after", "366d", "!out of range"},
		{pathKeepAlive + "/escalate_after", "1,2,3,4,5,6,7,8", "1,2,3,4,5,6,7,8"},
		{pathKeepAlive + "/escalate_after", "1,2,3,4,5,6,7,8,9", "!more than 8 entries"},
		{pathKeepAlive + "/escalate_after", "60,", "!entry 2 of 2: empty"},
		{pathKeepAlive + "/dormant_after", "0", "0"},
		{pathKeepAlive + "/dormant_after", "14d", "1209600"},
		{pathKeepAlive + "/dormant_after", "3651d", "!out of range"},
		{pathKeepAlive + "/dormant_after", "-1s", "!out of range"},
		{"pulse/telemetry_limit", "1048576", "1MB"},
		{"pulse/telemetry_limit", "1024KB", "1MB"},
		{"pulse/telemetry_limit", "1gb", "1GB"},
		{"pulse/telemetry_limit", "1024TB", "1024TB"},
		{"pulse/telemetry_limit", "1048577", "1048577"},
		{"pulse/telemetry_limit", "1023KB", "!out of range"},
		{"pulse/telemetry_limit", "1025TB", "!out of range"},
		{"pulse/telemetry_limit", "-9223372036853727232KB", "!out of range"}, // would wrap to 1 GB
		{"pulse/telemetry_limit", "1.5GB", "!not a size"},
		{"pulse/telemetry_limit", "MB", "!not a size"},
		{"pulse/telemetry_limit", "", "!not a size"},
		{pathKeepAlive + "/method", "ack", "ack"},
		{pathKeepAlive + "/method", "ping", "!unknown word"},
		{"nats/listen", "127.0.0.1:0", "127.0.0.1:0"},
		{"nats/listen", "[::1]:4222", "[::1]:4222"},
		{"nats/listen", "xdr_nats-1.example:4222", "xdr_nats-1.example:4222"},
		{"nats/listen", ":4222", "!the host is neither an IP address nor a name"},
		{"nats/listen", "a b:4222", "!the host is neither an IP address nor a name"},
		{"nats/listen", "localhost:65536", "!the port is not a number from 0 to 65535"},
		{"nats/listen", "localhost:nats", "!the port is not a number from 0 to 65535"},
		{"nats/listen", "localhost", "!not of the form HOST:PORT"},
		{"nats/listen", "", "!not of the form HOST:PORT"},
		{"pulse/http", "", ""},
		{"pulse/http", "localhost:0", "localhost:0"},
		{"nats/subject_prefix", "wazuh", "wazuh"},
		{"nats/subject_prefix", "a.b-c.d_e", "a.b-c.d_e"},
		{"nats/subject_prefix", "a..b", "!has an empty word"},
		{"nats/subject_prefix", "", "!has an empty word"},
		{"nats/subject_prefix", ".a", "!has an empty word"},
		{"nats/subject_prefix", "a.*", "!has a wildcard"},
		{"nats/subject_prefix", "a.>", "!has a wildcard"},
		{"nats/subject_prefix", "a b", "!has a space"},
		{"nats/subject_prefix", "a\u00a0b", "!has a space"},
		{"nats/subject_prefix", "a\u007fb", "!has a character that cannot be printed"},
		{"nats/subject_prefix", "$SYS.a", "!starts with $"},
		{"nats/subject_prefix", "a." + long[:127], "!longer than 128 bytes"},
		{pathNodeName, long[:128], long[:128]},
		{pathNodeName, long, "!longer than 128 bytes"},
		{pathNodeName, "a.b", "!has a dot"},
		{pathNodeName, "*", "!has a wildcard"},
		{pathNodeName, "", "!has an empty word"},
		{pathHome, "/opt/wazuh", "/opt/wazuh"},
		{pathHome, "wazuh", "!not an absolute path"},
		{pathHome, "", "!not an absolute path"},
		{pathHome, "/a\u202eb", "!has a character that cannot be printed"},
		{pathNodeName, "node\u200b01", "!has a character that cannot be printed"},
		{pathNodeName, "node\xff", "!has a character that cannot be printed"},
		{"remote/local_ip", "fe80::1%\x1b[31m", "!not an IP address"},
		{"nats/listen", "[fe80::1%\u009b31m]:4222", "!the host is neither an IP address nor a name"},
		{pathServerURL, "nats://xdr\u202e:4222", "!the URL is malformed"},
		{pathHome, "/a\nb", "!has a character that cannot be printed"},
		{pathHome, "/" + strings.Repeat("x", maxPath), "!longer than a path may be"},
		{pathCreds, "", ""},
		{pathCreds, "nats.creds", "!not an absolute path"},
		{"pulse/link", "listen", "listen"},
		{"pulse/link", "detach", "!unknown word"},
	}
	for _, tt := range tests {
		checkValue(t, tt.path, tt.value, tt.want)
	}
}

func TestAServerURLIsUnderstoodOrRefused(t *testing.T) {
	const userInURL = "!the URL has a user or a password in it, and secrets come from files only; put them into <user> and the file of <password_file>, or a token into that of <token_file>"
	for value, want := range map[string]string{
		"":                        "",
		"nats://xdr-nats:4222":    "nats://xdr-nats:4222",
		"tls://[::1]":             "tls://[::1]",
		"NATS://h/":               "NATS://h/",
		"wss://h:443/path":        "wss://h:443/path",
		"nats://a:1 ,\n nats://b": "nats://a:1,nats://b",
		"nats://u:p@h":            userInURL,
		"nats://token@h":          userInURL,
		"nats://@h":               userInURL,
		"h:4222":                  "!the URL does not start with nats://, tls://, ws:// or wss://",
		"http://h":                "!the URL does not start with nats://, tls://, ws:// or wss://",
		"nats://":                 "!the URL has no proper host",
		"nats://u:p@":             userInURL,
		"nats://h:0":              "!the URL has a port outside 1 to 65535",
		"nats://h:65536":          "!the URL has a port outside 1 to 65535",
		"nats://h:a":              "!the URL is malformed",
		"nats://h/x":              "!the URL has something behind the host and port",
		"nats://h?password=x":     "!the URL has something behind the host and port",
		"nats://h,":               "!URL 2 of 2 does not start with nats://, tls://, ws:// or wss://",
		"nats://h,ws://h":         "!mixes ws with nats",
	} {
		checkValue(t, pathServerURL, value, want)
	}
}

// It becomes the target of a link: nothing but a place on the web.
func TestTheURLOfWazuhsDashboardIsAPlaceOnTheWebOrRefused(t *testing.T) {
	for value, want := range map[string]string{
		"": "", "https://wazuh.example": "https://wazuh.example", "https://10.0.0.5:5601/": "https://10.0.0.5:5601/", "http://[::1]:5601/wazuh": "http://[::1]:5601/wazuh",
		"HTTPS://h":           "HTTPS://h",
		"javascript:alert(1)": "!the URL does not start with https:// or http://",
		"data:text/html,x":    "!the URL does not start with https:// or http://",
		"//h":                 "!the URL does not start with https:// or http://",
		"wazuh.example":       "!the URL does not start with https:// or http://",
		"wazuh.example:5601":  "!the URL does not start with https:// or http://",
		"https://":            "!the URL has no proper host",
		"https://:443":        "!the URL has no proper host",
		"https:h":             "!the URL has no proper host",
		"https://u:p@h":       "!the URL has a user or a password in it, and is shown to everybody who may look",
		"https://h?a=b":       "!the URL has something behind its path",
		"https://h/#x":        "!the URL has something behind its path",
		"https://h/#":         "!the URL has something behind its path",
		"https://h:0":         "!the URL has a port outside 1 to 65535",
		"https://h:65536":     "!the URL has a port outside 1 to 65535",
		"https://h:a":         "!the URL is malformed",
		"https://a b":         "!the URL is malformed",
		"https://h/\u202eexe": "!has a character that cannot be printed",
		"https://" + strings.Repeat("h", maxWebURL): "!the URL is too long",
	} {
		checkValue(t, pathWazuhDashboard, value, want)
	}
}

func checkValue(t *testing.T, path, value, want string) {
	t.Helper()
	c := Default()
	checkField(t, lookupSetting(path).field(&c), path, value, want)
}

func checkField(t *testing.T, f field, path, value, want string) {
	t.Helper()
	before := f.String()
	err := f.setFromText(value)
	problem, refuse := strings.CutPrefix(want, "!")
	switch {
	case refuse && (err == nil || err.Error() != problem):
		t.Errorf("%s %q: got error %v, want %q", path, value, err, problem)
	case refuse && f.String() != before:
		t.Errorf("%s %q: refused, yet it changed the setting to %q", path, value, f)
	case !refuse && err != nil:
		t.Errorf("%s %q: %v", path, value, err)
	case !refuse && f.String() != want:
		t.Errorf("%s %q: got %q, want %q", path, value, f, want)
	}
}

func TestADurationInASentenceAlwaysHasAUnit(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Minute: "60s", 500 * time.Millisecond: "500ms", 1500 * time.Millisecond: "1.5s",
	} {
		if got := secondsWithUnit(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}
