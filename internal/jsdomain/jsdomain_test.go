package jsdomain

import "testing"

func TestRequestsAndValuesGoToTheDomain(t *testing.T) {
	for subject, want := range map[string]string{
		"$JS.API.INFO":                    "$JS.hub.API.INFO",
		"$JS.API.DIRECT.GET.KV_X.$KV.X.a": "$JS.hub.API.DIRECT.GET.KV_X.$KV.X.a",
		"$KV.X.a":                         "$JS.hub.API.$KV.X.a",
		"wazuh.xdr.agent.001.keep_alive":  "wazuh.xdr.agent.001.keep_alive",
		"$PULSE.WILL.node01":              "$PULSE.WILL.node01",
		"$JS.ACK.STATUS.xdr.1.1.1.1.0":    "$JS.ACK.STATUS.xdr.1.1.1.1.0",
		"$JS.hub.API.STREAM.INFO.STATUS":  "$JS.hub.API.STREAM.INFO.STATUS",
	} {
		if got := Domain("hub").Subject(subject); got != want {
			t.Errorf("%s goes to %s, want %s", subject, got, want)
		}
		if got := Domain("").Subject(subject); got != subject {
			t.Errorf("without a domain %s goes to %s", subject, got)
		}
	}
}
