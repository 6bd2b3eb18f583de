package listen

import (
	"bytes"
	"net/netip"
	"strconv"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

var ackText = []byte(ackMessage)

// content is what a decrypted message says.
type content uint8

const (
	anEvent     content = iota // a log line or other data for the manager's analysis
	aStartup                   // #!-agent startup {"version":"v4.14.7"}
	aKeepAlive                 // #!-UNAME - Wazuh vX / MD5\n…
	aShutdown                  // #!-agent shutdown
	anAnswer                   // #!-req COUNTER PAYLOAD
	aReceipt                   // #!-req COUNTER ack: over UDP, the agent has the request
	unknownWord                // a control message that a manager does not know
)

const (
	controlMark = "#!-"
	ackMessage  = "#!-agent ack " // with the trailing space
	requestMark = "#!-req "
)

// parseMessage tells what a message says, and the number of the request that
// an answer or a receipt is for.
func parseMessage(payload []byte) (content, uint32) {
	word, ok := bytes.CutPrefix(payload, []byte(controlMark))
	if !ok {
		return anEvent, 0
	}
	switch {
	case bytes.HasPrefix(word, []byte("req ")):
		return parseAnswer(word[len("req "):])
	case bytes.HasPrefix(word, []byte("agent startup ")):
		return aStartup, 0
	case bytes.HasPrefix(word, []byte("agent shutdown")):
		return aShutdown, 0
	case bytes.IndexByte(word, '\n') >= 0: // what a manager takes for a keep-alive
		return aKeepAlive, 0
	}
	return unknownWord, 0
}

func parseAnswer(rest []byte) (content, uint32) {
	counter, answer, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return unknownWord, 0
	}
	token, err := strconv.ParseUint(string(counter), 16, 32)
	if err != nil || len(counter) != 8 {
		return unknownWord, 0 // no request of ours
	}
	if string(answer) == "ack" {
		return aReceipt, uint32(token)
	}
	return anAnswer, uint32(token)
}

// appendKeepAlive appends the message that asks, or only tells, an agent.
func appendKeepAlive(dst []byte, method detector.Method, token uint32, name string, unix int64) []byte {
	switch method {
	case detector.Notify:
		dst = append(append(dst, "#!-agent keepalive "...), name...)
		return strconv.AppendInt(append(dst, ' '), unix, 10)
	case detector.Ack:
		return append(dst, ackMessage...)
	default:
		return append(appendRequest(dst, token), "agent getstate"...)
	}
}

// appendReceipt appends the message that tells an agent, over UDP, that its
// answer arrived.
func appendReceipt(dst []byte, token uint32) []byte {
	return append(appendRequest(dst, token), "ack"...)
}

func appendRequest(dst []byte, token uint32) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, requestMark...)
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, digits[token>>shift&0xf])
	}
	return append(dst, ' ')
}

// agentIP finds the address that an agent gives as its own in its keep-alive:
// the label _agent_ip, which is what Wazuh shows for it.
func agentIP(keepAlive []byte) []byte {
	const label = "#\"_agent_ip\":"
	_, rest, ok := bytes.Cut(keepAlive, []byte(label))
	if !ok {
		return nil
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return line
}

// addressBook remembers the last address an agent gave, so that the same text
// is not parsed with every keep-alive.
type addressBook struct {
	text string
	addr netip.Addr
}

func (b *addressBook) look(text []byte) netip.Addr {
	const longest = 45 // an IPv6 address with an IPv4 one in it
	if len(text) > longest {
		return netip.Addr{}
	}
	if string(text) != b.text {
		b.text = string(text)
		addr, _ := netip.ParseAddr(b.text)
		b.addr = addr.Unmap()
		if b.addr.Zone() != "" || b.addr.IsUnspecified() {
			b.addr = netip.Addr{}
		}
	}
	return b.addr
}
