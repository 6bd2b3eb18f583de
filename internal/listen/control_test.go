package listen

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

func FuzzParseMessage(f *testing.F) {
	for _, c := range conversation {
		f.Add([]byte(c.says))
	}
	for _, text := range []string{"#!-req 0000cafe {}", "#!-req 0000cafe ack", "#!-req 0000cafe ", "#!-req -000cafe x", "#!-req 0x00cafe x",
		"#!-req 0000CAFE x", "#!-req 0000cafe ack\n", "#!-req \n", "#!-agent shutdown", "#!-agent startup", "#!-\n"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		before := bytes.Clone(payload)
		what, token := parseMessage(payload)
		if !bytes.Equal(payload, before) {
			t.Fatal("the message was changed")
		}
		if (what == anEvent) == bytes.HasPrefix(payload, []byte("#!-")) {
			t.Fatalf("%q is %d", payload, what)
		}
		asked := what == anAnswer || what == aReceipt
		if !asked && token != 0 {
			t.Fatalf("%q has token %x", payload, token)
		}
		if prefix := fmt.Sprintf("#!-req %08x ", token); asked && !strings.EqualFold(string(payload[:len(prefix)]), prefix) {
			t.Fatalf("%q has token %x", payload, token)
		}
		if (what == aReceipt) != (asked && strings.EqualFold(string(payload), string(appendReceipt(nil, token))) && bytes.HasSuffix(payload, []byte(" ack"))) {
			t.Fatalf("%q is %d", payload, what)
		}
		var book addressBook
		if own := book.look(agentIP(payload)); own.IsValid() && !bytes.Contains(payload, []byte("_agent_ip")) {
			t.Fatalf("%q is at %v", payload, own)
		}
	})
}

func TestEveryTokenComesBackAsItWasSent(t *testing.T) {
	for _, token := range []uint32{0, 1, 0xcafe, 1 << 31, 1<<32 - 1} {
		request := appendKeepAlive(nil, detector.Request, token, "web", 0)
		answer := bytes.Replace(request, []byte("agent getstate"), []byte("{}"), 1)
		if what, got := parseMessage(answer); what != anAnswer || got != token {
			t.Errorf("%q: %d, token %x, want %x", answer, what, got, token)
		}
		if what, got := parseMessage(appendReceipt(nil, token)); what != aReceipt || got != token {
			t.Errorf("receipt of %x: %d, token %x", token, what, got)
		}
	}
}
