package listen

import (
	"bytes"
	"fmt"
	"log/slog"
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
		if (what == eventMessage) == bytes.HasPrefix(payload, []byte("#!-")) {
			t.Fatalf("%q is %d", payload, what)
		}
		asked := what == answerMessage || what == receiptMessage
		if !asked && token != 0 {
			t.Fatalf("%q has token %x", payload, token)
		}
		if prefix := fmt.Sprintf("#!-req %08x ", token); asked && !strings.EqualFold(string(payload[:len(prefix)]), prefix) {
			t.Fatalf("%q has token %x", payload, token)
		}
		if (what == receiptMessage) != (asked && strings.EqualFold(string(payload), string(appendAnswerReceipt(nil, token))) && bytes.HasSuffix(payload, []byte(" ack"))) {
			t.Fatalf("%q is %d", payload, what)
		}
		var book addressCache
		if own := book.parseAddress(findAgentIP(payload)); own.IsValid() && !bytes.Contains(payload, []byte("_agent_ip")) {
			t.Fatalf("%q is at %v", payload, own)
		}
	})
}

func TestEveryTokenComesBackAsItWasSent(t *testing.T) {
	for _, token := range []uint32{0, 1, 0xcafe, 1 << 31, 1<<32 - 1} {
		request := appendKeepAlive(nil, detector.Request, token, "web", 0)
		answer := bytes.Replace(request, []byte("agent getstate"), []byte("{}"), 1)
		if what, got := parseMessage(answer); what != answerMessage || got != token {
			t.Errorf("%q: %d, token %x, want %x", answer, what, got, token)
		}
		if what, got := parseMessage(appendAnswerReceipt(nil, token)); what != receiptMessage || got != token {
			t.Errorf("receipt of %x: %d, token %x", token, what, got)
		}
	}
}

// FuzzHandleFrame passes frames to the link as if they came from a connection: a
// stranger's or that of agent 001. Only what decrypts may be reported.
func FuzzHandleFrame(f *testing.F) {
	for _, name := range []string{"tcp-aes.jsonl", "tcp-blowfish.jsonl"} {
		for _, r := range readRecording(f, name)[:3] {
			f.Add(r.wire(f)[lengthSize:], true)
			f.Add(r.wire(f)[lengthSize:], false)
		}
	}
	maker := agent001(f)
	for _, known := range []bool{true, false} {
		f.Add(maker.encodeFrame(startupText)[lengthSize:], known)
		f.Add([]byte("#ping"), known)
		f.Add([]byte("!001!:12345678"), known)
		f.Add([]byte("!005!#AES:1234567812345678"), known)
		f.Add(maker.bomb(), known)
	}
	startup := maker.encodeFrame(startupText)[lengthSize:]
	keys, clock, null := readKeys(f, keyFile), detector.NewClock(), openNullDevice(f)
	f.Fuzz(func(t *testing.T, frame []byte, known bool) {
		seen := 0
		l, err := Listen(Config{Keys: keys, Clock: clock, Verify: true, Report: func(detector.Sighting) { seen++ },
			Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		c := null.newConn()
		if known {
			if err := l.handleConnFrame(c, bytes.Clone(startup)); err != nil {
				t.Fatal(err)
			}
			seen = 0
		}
		was := c.peer
		err = l.handleConnFrame(c, frame)
		heard := err == nil && l.count.pings.Load() == 0 && l.count.refused[staleCounter].Load() == 0
		if heard != (seen == 1) || !heard && seen != 0 {
			t.Fatalf("%v, seen %d times", err, seen)
		}
		if !heard && c.peer != was {
			t.Fatal("a stranger was let in")
		}
	})
}
