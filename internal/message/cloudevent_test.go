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
		h := newCloudEventHeader("node_condition", node, &s)
		for name, value := range h {
			for _, c := range []byte(value) {
				if c <= ' ' || c >= 0x7f || c == '"' {
					t.Errorf("%s: %q", name, value)
				}
			}
		}
		for name, want := range map[string]string{"ce-id": s.ID(), "ce-subject": node} {
			if got, err := url.PathUnescape(h[name]); err != nil || got != want {
				t.Errorf("%s: %q is %q, want %q", name, h[name], got, want)
			}
		}
		if u, err := url.Parse(h["ce-source"]); err != nil || u.Path != "/pulse/"+node {
			t.Errorf("source %q", h["ce-source"])
		}
	}
}
