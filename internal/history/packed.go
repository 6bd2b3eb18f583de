package history

import (
	"math"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// packedEvent is an event in a third of the memory: it has what the events of an outage and of
// its end have. Any other event is kept whole.
type packedEvent struct {
	at, known, lastSeen int64 // Unix time in nanoseconds; noTime for none
	silentFor           time.Duration
	name, ip            string // the detector's own
	node                unique.Handle[string]
	info                unique.Handle[detector.Info]
	whole               *Event // nil if all of it is here
	id                  detector.AgentID
	missed              uint16
	kind                Kind
	from, to            detector.Status
	reason              detector.Reason
	host                detector.Host
	flags               eventFlags
}

const noTime = math.MinInt64

type eventFlags uint8

const (
	inOutage eventFlags = 1 << iota
	wasSilenced
	hadClosed
)

// packEvent packs an event, but for its sequence.
func packEvent(e *Event) packedEvent {
	p := packedEvent{at: packTime(e.At), known: packTime(e.Known), lastSeen: packTime(e.LastSeen), silentFor: e.SilentFor, name: e.Name, ip: e.IP, info: e.Info,
		id: e.ID, missed: uint16(e.Missed), kind: e.Kind, from: e.From, to: e.To, reason: e.Reason, host: e.Host}
	if e.Outage {
		p.flags |= inOutage
	}
	if e.Silenced {
		p.flags |= wasSilenced
	}
	if e.Closed {
		p.flags |= hadClosed
	}
	if e.Node != "" {
		p.node = unique.Make(e.Node)
	}
	if !p.isEqual(e) {
		whole := *e
		return packedEvent{whole: &whole, id: e.ID, kind: e.Kind}
	}
	return p
}

// isEqual reports whether an event is all here.
func (p *packedEvent) isEqual(e *Event) bool {
	u := p.unpackEvent(e.Seq)
	if !u.At.Equal(e.At) || !u.Known.Equal(e.Known) || !u.LastSeen.Equal(e.LastSeen) {
		return false
	}
	u.At, u.Known, u.LastSeen = e.At, e.Known, e.LastSeen // whatever their time zone
	return u == *e
}

// unpackEvent returns the event with a sequence.
func (p *packedEvent) unpackEvent(seq uint64) Event {
	if p.whole != nil {
		return *p.whole
	}
	e := Event{Seq: seq, Kind: p.kind, At: unpackTime(p.at), Known: unpackTime(p.known), ID: p.id, Name: p.name, IP: p.ip, From: p.from, To: p.to,
		Reason: p.reason, Missed: int(p.missed), LastSeen: unpackTime(p.lastSeen), Outage: p.flags&inOutage != 0, Info: p.info,
		Evidence: detector.Evidence{Closed: p.flags&hadClosed != 0, SilentFor: p.silentFor, Host: p.host}, Silenced: p.flags&wasSilenced != 0}
	if p.node != (unique.Handle[string]{}) {
		e.Node = p.node.Value()
	}
	return e
}

func packTime(t time.Time) int64 {
	if t.IsZero() {
		return noTime
	}
	return t.UnixNano()
}

func unpackTime(nanoseconds int64) time.Time {
	if nanoseconds == noTime {
		return time.Time{}
	}
	return time.Unix(0, nanoseconds)
}

// ringChunk is how many events are allocated at a time.
const ringChunk = 1000

// eventRing holds the last events, by sequence.
type eventRing struct {
	limit  int
	last   uint64 // the newest sequence
	chunks [][]packedEvent
}

// addEvent gives an event the next sequence, and drops the oldest if there are limit.
func (r *eventRing) addEvent(e *Event) {
	r.last++
	e.Seq = r.last
	if e.Seq <= uint64(r.limit) && (e.Seq-1)%ringChunk == 0 {
		r.chunks = append(r.chunks, make([]packedEvent, min(ringChunk, r.limit-len(r.chunks)*ringChunk)))
	}
	*r.packedAt(e.Seq) = packEvent(e)
}

// packedAt returns the kept event with a sequence.
func (r *eventRing) packedAt(seq uint64) *packedEvent {
	i := (seq - 1) % uint64(r.limit)
	return &r.chunks[i/ringChunk][i%ringChunk]
}

// eventAt returns the same.
func (r *eventRing) eventAt(seq uint64) Event { return r.packedAt(seq).unpackEvent(seq) }

// oldestSequence returns the sequence of the oldest kept event.
func (r *eventRing) oldestSequence() uint64 { return r.last - min(r.last, uint64(r.limit)) + 1 }
