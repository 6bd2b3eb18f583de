package listen

import (
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// hear takes a message of an agent: it answers what wants an answer, and
// reports what was seen.
func (l *Link) hear(p *peer, c *codec, payload []byte) error {
	now := l.clock.Now()
	p.lastSeen.Store(int64(now))
	seen := detector.Sighting{At: now, ID: p.id, Kind: detector.SawEvent}
	what, token := parseMessage(payload)
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
	return err
}
