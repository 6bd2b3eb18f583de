package wazuhsock

import "testing"

func TestALocationEndsWhereItsEventBegins(t *testing.T) {
	for location, want := range map[string]string{
		"pulse":                           "1:pulse:x: y",
		"[001] (web-01) any->pulse":       "1:[001] (web-01) any->pulse:x: y",
		"[001] (web-01) 2001:db8::1->a":   "1:[001] (web-01) 2001|:db8|:|:1->a:x: y",
		"[001] (a:ossec: Agent started)b": "1:[001] (a|:ossec|: Agent started)b:x: y",
		"a|:b":                            "1:a|||:b:x: y",
	} {
		if got := FormatEvent(location, "x: y"); got != want {
			t.Errorf("%s: %q, want %q", location, got, want)
		}
	}
}
