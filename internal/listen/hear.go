package listen

import (
	"fmt"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// hear takes a message of an agent: it answers what wants an answer, and
// reports what was seen.
func (l *Link) hear(p *peer, c *codec, payload []byte) error {
	what, token := parseMessage(payload)
	unsure := l.verify && p.history.isUnsure()
	if unsure && what == aShutdown {
		l.refused(p.from, refuseAs(p.id.String(), staleCounter, fmt.Errorf("agent %s: a shutdown, which may be an old one", p.id)))
		return nil
	}
	now := l.clock.Now()
	p.lastSeen.Store(int64(now))
	seen := detector.Sighting{At: now, ID: p.id, Kind: detector.SawEvent}
	var err error
	switch what {
	case aStartup:
		seen.Kind, seen.Addr = detector.SawStartup, p.from.Addr() // the reader may read what it writes
		err = l.send(p, c, ackText)
	case aKeepAlive:
		l.count.keepAlives.Add(1)
		seen.Kind, seen.Addr = detector.SawKeepAlive, p.from.Addr()
		if own := p.book.look(agentIP(payload)); own.IsValid() {
			seen.Addr = own
		}
		err = l.send(p, c, ackText)
	case aShutdown:
		seen.Kind = detector.SawShutdown
	case anAnswer:
		l.count.answers.Add(1)
		seen.Kind, seen.Token = detector.SawAnswer, token
		err = l.confirm(p, c, token)
	case aReceipt:
		l.delivered(p, token)
	case anEvent:
		l.count.events.Add(1)
	case unknownWord:
		l.count.unknown.Add(1)
	}
	l.report(seen)
	if unsure && err == nil {
		err = l.makeSure(p, c, what, payload)
	}
	return err
}

// makeSure asks an agent whose numbers are known in part, now and then, or takes its
// answer. Others see no difference: its messages count meanwhile, but for goodbyes.
func (l *Link) makeSure(p *peer, c *codec, what content, payload []byte) error {
	switch {
	case l.questions.isAnswer(p, p.from, payload):
		l.count.proofs.Add(1)
		p.history.countProof()
	case (what == aStartup || what == aKeepAlive) && p.asked < questionsMax:
		p.asked++
		return l.askQuestion(p, c)
	}
	return nil
}
