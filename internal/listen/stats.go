package listen

import "sync/atomic"

// Stats counts what happened on a link since it started.
type Stats struct {
	Connections int64            `json:"connections"`      // open TCP connections now
	Agents      int              `json:"agents"`           // agents with a peer now: a connection, or a UDP address
	Accepted    int64            `json:"accepted"`         // TCP connections ever
	KeepAlives  int64            `json:"keepalives"`       // agents' own keep-alives, each acknowledged
	Events      int64            `json:"events"`           // other messages, which this link drops
	Answers     int64            `json:"answers"`          // answers to requests
	Unknown     int64            `json:"unknown_messages"` // control messages that a manager does not know
	Pings       int64            `json:"pings"`            // #ping
	Refused     map[string]int64 `json:"refused"`          // by reason
	Questions   int64            `json:"questions"`        // asked of agents whose messages were not newer than all before, or may be old ones
	Proofs      int64            `json:"proofs"`           // answers to them
	Panics      int64            `json:"panics"`           // faults of the link itself, each of which ended one peer's connection
}

type counters struct {
	connections, accepted                       atomic.Int64
	keepAlives, events, answers, unknown, pings atomic.Int64
	refused                                     [refusals]atomic.Int64
	panics, questions, proofs                   atomic.Int64
}

// Stats returns the counts so far.
func (l *Link) Stats() Stats {
	c := &l.count
	s := Stats{Connections: c.connections.Load(), Agents: l.registry.size(), Accepted: c.accepted.Load(),
		KeepAlives: c.keepAlives.Load(), Events: c.events.Load(), Answers: c.answers.Load(), Unknown: c.unknown.Load(),
		Pings: c.pings.Load(), Refused: make(map[string]int64, refusals), Panics: c.panics.Load(),
		Questions: c.questions.Load(), Proofs: c.proofs.Load()}
	for why := range refusals {
		s.Refused[why.String()] = c.refused[why].Load()
	}
	return s
}
