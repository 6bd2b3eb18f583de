package listen

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

var ackText = []byte(ackPrefix)

// messageType is the kind of a decrypted message.
type messageType uint8

const (
	eventMessage     messageType = iota // a log line or other data for the manager's analysis
	startupMessage                      // #!-agent startup {"version":"v4.14.7"}
	keepAliveMessage                    // #!-UNAME - Wazuh vX / MD5\n…
	shutdownMessage                     // #!-agent shutdown
	answerMessage                       // #!-req COUNTER PAYLOAD
	receiptMessage                      // #!-req COUNTER ack: over UDP, the agent has the request
	managerMessage                      // what a manager sends: an agent has not written it
	unknownMessage                      // a control message that a manager does not know
)

const (
	controlPrefix = "#!-"
	ackPrefix     = "#!-agent ack " // with the trailing space
	requestPrefix = "#!-req "
)

// parseMessage returns the type of a message, and the token of the request that
// an answer or a receipt is for.
func parseMessage(payload []byte) (messageType, uint32) {
	word, ok := bytes.CutPrefix(payload, []byte(controlPrefix))
	if !ok {
		return eventMessage, 0
	}
	switch {
	case bytes.HasPrefix(word, []byte("req ")):
		return parseAnswer(word[len("req "):])
	case bytes.HasPrefix(word, []byte("agent startup ")):
		return startupMessage, 0
	case bytes.HasPrefix(word, []byte("agent shutdown")):
		return shutdownMessage, 0
	case hasAnyPrefix(word, managerWords):
		return managerMessage, 0
	case bytes.IndexByte(word, '\n') >= 0: // a manager treats this as a keep-alive
		return keepAliveMessage, 0
	}
	return unknownMessage, 0
}

// managerWords begin the control messages of managers: what this one sends, and what
// others with the same keys may have sent before it.
var managerWords = [][]byte{[]byte("agent ack"), []byte("agent keepalive "), []byte("up file "), []byte("close file"),
	[]byte("force_reconnect"), []byte("execd "), []byte("syscheck ")}

// answerWords begin the answers of agents: JSON, or an outcome in words. All else behind
// the number of a request is the request itself.
var answerWords = [][]byte{[]byte("{"), []byte("ok"), []byte("err")}

func hasAnyPrefix(text []byte, prefixes [][]byte) bool {
	return slices.ContainsFunc(prefixes, func(p []byte) bool { return bytes.HasPrefix(text, p) })
}

func parseAnswer(rest []byte) (messageType, uint32) {
	counter, answer, ok := bytes.Cut(rest, []byte(" "))
	if !ok {
		return unknownMessage, 0
	}
	if string(answer) != "ack" && !hasAnyPrefix(answer, answerWords) {
		return managerMessage, 0
	}
	token, err := strconv.ParseUint(string(counter), 16, 32)
	if err != nil || len(counter) != 8 {
		return unknownMessage, 0 // no request of ours
	}
	if string(answer) == "ack" {
		return receiptMessage, uint32(token)
	}
	return answerMessage, uint32(token)
}

// agentMessage is a message of an agent and what it is.
type agentMessage struct {
	secmsg.Message
	kind  messageType
	token uint32 // of the request that an answer or a receipt is for
}

// errReflected is returned for what an agent has not written. Both sides use one key, so
// that a manager's own messages can be sent back to it in the agent's name.
var errReflected = errors.New("a message that only a manager sends")

// decodeAgentMessage decodes and parses a message of an agent.
func (c *codec) decodeAgentMessage(cipher *secmsg.Cipher, body []byte) (m agentMessage, err error) {
	if m.Message, err = c.dec.Decode(cipher, body); err != nil {
		return m, err
	}
	if m.kind, m.token = parseMessage(m.Payload); m.kind == managerMessage {
		err = errReflected
	}
	return m, err
}

// refuseUndecodableMessage returns the refusal for an error of decodeAgentMessage.
func refuseUndecodableMessage(agent string, err error) error {
	why := wrongKey
	switch {
	case errors.Is(err, errReflected):
		why = reflected
	case errors.Is(err, secmsg.ErrTooLong):
		why = oversized
	}
	return refuseAgentMessage(agent, why, fmt.Errorf("agent %s: %w", agent, err))
}

// appendKeepAlive appends the keep-alive of a method: a request or a notification.
func appendKeepAlive(dst []byte, method detector.Method, token uint32, name string, unix int64) []byte {
	switch method {
	case detector.Notify:
		dst = append(append(dst, "#!-agent keepalive "...), name...)
		return strconv.AppendInt(append(dst, ' '), unix, 10)
	case detector.Ack:
		return append(dst, ackPrefix...)
	default:
		return append(appendRequestPrefix(dst, token), "agent getstate"...)
	}
}

// appendAnswerReceipt appends the message that confirms to an agent, over UDP, the arrival
// of its answer.
func appendAnswerReceipt(dst []byte, token uint32) []byte {
	return append(appendRequestPrefix(dst, token), "ack"...)
}

func appendRequestPrefix(dst []byte, token uint32) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, requestPrefix...)
	for shift := 28; shift >= 0; shift -= 4 {
		dst = append(dst, digits[token>>shift&0xf])
	}
	return append(dst, ' ')
}

// findAgentIP returns the address that an agent gives as its own in its keep-alive:
// the label _agent_ip, which is what Wazuh shows for it.
func findAgentIP(keepAlive []byte) []byte {
	const label = "#\"_agent_ip\":"
	_, rest, ok := bytes.Cut(keepAlive, []byte(label))
	if !ok {
		return nil
	}
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return line
}

// addressCache holds the last address an agent gave, so that the same text
// is not parsed with every keep-alive.
type addressCache struct {
	text string
	addr netip.Addr
}

func (b *addressCache) parseAddress(text []byte) netip.Addr {
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

// handleAgentMessage answers a message of an agent if it needs an answer, and reports the
// sighting.
func (l *Link) handleAgentMessage(p *peer, c *codec, m *agentMessage) error {
	unsure := l.verify && p.history.isHighestUnsure()
	if unsure && m.kind == shutdownMessage {
		l.recordRefusal(p.from, refuseAgentMessage(p.id.String(), staleCounter, fmt.Errorf("agent %s: a shutdown, which may be an old one", p.id)))
		return nil
	}
	now := l.clock.Now()
	p.lastSeen.Store(int64(now))
	seen := detector.Sighting{At: now, ID: p.id, Kind: detector.SawEvent}
	var err error
	switch m.kind {
	case startupMessage:
		seen.Kind, seen.Addr = detector.SawStartup, p.from.Addr() // only the reader writes from
		err = l.sendToPeer(p, c, ackText)
	case keepAliveMessage:
		l.count.keepAlives.Add(1)
		seen.Kind, seen.Addr = detector.SawKeepAlive, p.from.Addr()
		if own := p.addresses.parseAddress(findAgentIP(m.Payload)); own.IsValid() {
			seen.Addr = own
		}
		if !unsure {
			l.updateInfo(p, now, m.Payload)
		}
		err = l.sendToPeer(p, c, ackText)
	case shutdownMessage:
		seen.Kind = detector.SawShutdown
	case answerMessage:
		l.count.answers.Add(1)
		seen.Kind, seen.Token = detector.SawAnswer, m.token
		err = l.confirmAnswerReceived(p, c, m.token)
	case eventMessage:
		l.count.events.Add(1)
	case unknownMessage:
		l.count.unknown.Add(1)
	}
	l.report(seen)
	if unsure && err == nil {
		err = l.resolveCounterDoubt(p, c, m)
	}
	return err
}

// resolveCounterDoubt asks a question of an agent whose highest number is not known for sure, or
// handles its answer. Meanwhile its messages count, except for shutdowns.
func (l *Link) resolveCounterDoubt(p *peer, c *codec, m *agentMessage) error {
	switch {
	case l.questions.isAnswerToQuestion(p, p.from, m):
		l.count.proofs.Add(1)
		p.history.recordProof()
	case (m.kind == startupMessage || m.kind == keepAliveMessage) && p.questionsAsked < maxQuestions:
		p.questionsAsked++
		return l.askQuestion(p, c)
	}
	return nil
}
