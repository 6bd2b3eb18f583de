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
	// questionTime is for how long at least the answer to a question counts.
	questionTime = time.Minute
	// questionBit is set in the numbers of questions, and in none of the keep-alives', which
	// count from 1.
	questionBit = 1 << 31
	// questionPeriod is the least time between two questions on a connection.
	questionPeriod = time.Second
	// questionsMax is how often a peer is asked that need not answer to be believed.
	questionsMax = 3
)

// questioner makes the numbers of questions: unforeseeable, and good for one agent
// at one address, for a time, until the agent has answered one. Nothing is kept
// for a question, so nobody can exhaust the place for them.
type questioner struct{ secret [32]byte }

func newQuestioner() *questioner {
	q := new(questioner)
	_, _ = rand.Read(q.secret[:]) // never fails
	return q
}

func (q *questioner) number(p *peer, from netip.AddrPort, period int64) uint32 {
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

func period(now time.Time) int64 { return now.Unix() / int64(questionTime/time.Second) }

// next returns the number of the question to ask now.
func (q *questioner) next(p *peer, from netip.AddrPort) uint32 {
	return q.number(p, from, period(time.Now()))
}

// isAnswer reports whether a message is the answer to a question, or over UDP the
// confirmation that the agent has it: either shows that it is not an old message.
func (q *questioner) isAnswer(p *peer, from netip.AddrPort, payload []byte) bool {
	what, token := parseMessage(payload)
	if what != anAnswer && what != aReceipt || token&questionBit == 0 {
		return false
	}
	now := period(time.Now())
	return token == q.number(p, from, now) || token == q.number(p, from, now-1)
}

// askQuestion asks a peer's agent something that it can answer only now.
func (l *Link) askQuestion(p *peer, c *codec) error {
	l.count.questions.Add(1)
	c.text = append(appendRequest(c.text[:0], l.questions.next(p, p.addr())), "agent getstate"...)
	return l.send(p, c, c.text)
}

// doubtMessage takes a message that is not newer than all before. It proves nothing; the
// agent, if it is one, is asked. An agent waits for the acknowledgement of its startup
// before it answers anything.
func (l *Link) doubtMessage(p *peer, c *codec, m *secmsg.Message, always bool) error {
	l.refused(p.addr(), staleMessage(p, m.Counter))
	what, _ := parseMessage(m.Payload)
	p.history.holdBack(what)
	if what == aStartup || what == aKeepAlive {
		if err := l.send(p, c, ackText); err != nil {
			return err
		}
	} else if !always {
		return nil
	}
	if now := l.clock.Now(); p.conn != nil { // nothing is lost on the way
		if p.doubtAsked && now.Sub(p.doubtedAt) < questionPeriod {
			return nil
		}
		p.doubtAsked, p.doubtedAt = true, now
	}
	return l.askQuestion(p, c)
}

// takeProof takes the message of a peer by which its agent has answered a question:
// its numbers go on from there. What was held back until then is reported, unless the
// agent was there all the time: then it may be somebody else's.
func (l *Link) takeProof(p *peer, n secmsg.Counter, wasThere bool) {
	l.count.proofs.Add(1)
	p.window = newWindow(n.Number())
	startup, keepAlive := p.history.countProof()
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
