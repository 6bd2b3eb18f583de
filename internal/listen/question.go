package listen

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

const (
	// questionLifetime is for how long at least the answer to a question is valid.
	questionLifetime = time.Minute
	// questionBit is set in the numbers of questions, and not in those of keep-alives,
	// which count from 1.
	questionBit = 1 << 31
	// questionPeriod is the least time between two questions on a connection.
	questionPeriod = time.Second
	// maxQuestions is how often a peer is asked whose messages count without an answer.
	maxQuestions = 3
)

// questioner computes the numbers of questions: unpredictable, and valid for one agent
// at one address, for a limited time, until the agent has answered one. It keeps no state
// per question, so questions cannot exhaust memory.
type questioner struct{ secret [32]byte }

func newQuestioner() *questioner {
	q := new(questioner)
	_, _ = rand.Read(q.secret[:]) // never fails
	return q
}

func (q *questioner) computeQuestionNumber(p *peer, from netip.AddrPort, period int64) uint32 {
	p.history.mu.Lock()
	proofs := p.history.proofs
	p.history.mu.Unlock()
	addr := from.Addr().As16()
	var text [34]byte
	copy(text[:], addr[:])
	binary.LittleEndian.PutUint16(text[16:], from.Port())
	binary.LittleEndian.PutUint32(text[18:], uint32(p.id))
	binary.LittleEndian.PutUint32(text[22:], proofs)
	binary.LittleEndian.PutUint64(text[26:], uint64(period))
	mac := hmac.New(sha256.New, q.secret[:])
	mac.Write(text[:])
	return binary.LittleEndian.Uint32(mac.Sum(nil)) | questionBit
}

func questionPeriodAt(now time.Time) int64 { return now.Unix() / int64(questionLifetime/time.Second) }

// nextQuestionNumber returns the number of the question to ask now.
func (q *questioner) nextQuestionNumber(p *peer, from netip.AddrPort) uint32 {
	return q.computeQuestionNumber(p, from, questionPeriodAt(time.Now()))
}

// isAnswerToQuestion reports whether a message is the answer to a question, which shows that it is no
// replay. A receipt is none: the link sends the same.
func (q *questioner) isAnswerToQuestion(p *peer, from netip.AddrPort, m *agentMessage) bool {
	if m.kind != answerMessage || m.token&questionBit == 0 {
		return false
	}
	now := questionPeriodAt(time.Now())
	return m.token == q.computeQuestionNumber(p, from, now) || m.token == q.computeQuestionNumber(p, from, now-1)
}

// askQuestion sends a question to a peer's agent.
func (l *Link) askQuestion(p *peer, c *codec) error {
	l.count.questions.Add(1)
	c.text = append(appendRequestPrefix(c.text[:0], l.questions.nextQuestionNumber(p, p.address())), "agent getstate"...)
	return l.sendToPeer(p, c, c.text)
}

// questionSender handles a message that is not newer than all before, and so proves
// nothing, by a question to its sender. A startup or keep-alive is acknowledged first,
// because an agent waits for that before it answers anything. After other messages the
// question is only asked if always is set.
func (l *Link) questionSender(p *peer, c *codec, m *agentMessage, always bool) error {
	l.recordRefusal(p.address(), refuseStaleCounter(p, m.Counter))
	p.history.recordUnprovenMessage(m.kind)
	if m.kind == startupMessage || m.kind == keepAliveMessage {
		if err := l.sendToPeer(p, c, ackText); err != nil {
			return err
		}
	} else if !always {
		return nil
	}
	if now := l.clock.Now(); p.conn != nil { // TCP loses no question, so it need not be repeated at once
		if p.hasDoubt && now.Sub(p.lastDoubt) < questionPeriod {
			return nil
		}
		p.hasDoubt, p.lastDoubt = true, now
	}
	return l.askQuestion(p, c)
}

// acceptQuestionAnswer handles the answer of a peer's agent to a question: its numbers go on
// from there. Unproven messages received until then are reported, unless the agent was
// connected all the time: then they may be replays.
func (l *Link) acceptQuestionAnswer(p *peer, n secmsg.Counter, wasThere bool) {
	l.count.proofs.Add(1)
	p.window = newCounterWindow(n.Number())
	startup, keepAlive := p.history.recordProof()
	if wasThere {
		return
	}
	if startup {
		l.report(detector.Sighting{At: l.clock.Now(), ID: p.id, Kind: detector.SawStartup, Addr: p.from.Addr()})
	}
	if keepAlive {
		l.report(detector.Sighting{At: l.clock.Now(), ID: p.id, Kind: detector.SawKeepAlive})
	}
}
