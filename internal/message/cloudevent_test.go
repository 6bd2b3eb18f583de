package message

import (
	"net/url"
	"testing"

	"github.com/wazuh-pulse/pulse/event"
)

// Node names are tokens of NATS: they may contain anything but blanks, dots and wildcards.
func TestCloudEventHeadersAreASCIIWhateverTheNodeIsCalled(t *testing.T) {
	for _, node := range []string{"node01", "knoten-ä", `a"b%20`, "日本", "x\\y;z"} {
		s := event.Security{Node: node, Epoch: 3, Sequence: 9, IssuedAt: 1716897360120}
		ce := newCloudEvent("node_condition", node, &s)
		for name, value := range map[string]string{"id": ce.ID, "source": ce.Source, "type": ce.Type, "subject": ce.Subject, "time": ce.Time} {
			for _, c := range []byte(value) {
				if c <= ' ' || c >= 0x7f || c == '"' {
					t.Errorf("%s: %q", name, value)
				}
			}
		}
		for value, want := range map[string]string{ce.ID: s.ID(), ce.Subject: node} {
			if got, err := url.PathUnescape(value); err != nil || got != want {
				t.Errorf("%q is %q, want %q", value, got, want)
			}
		}
		if u, err := url.Parse(ce.Source); err != nil || u.Path != "/pulse/"+node {
			t.Errorf("source %q", ce.Source)
		}
	}
}
