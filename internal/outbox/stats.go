package outbox

import (
	"cmp"
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stats is a snapshot of what went through. Counters start at zero with Open.
type Stats struct {
	Status        StreamStats `json:"status"`
	Telemetry     StreamStats `json:"telemetry"`
	ForwardErrors uint64      `json:"forward_errors"` // failed tries to connect or to have messages confirmed
	LoginsRefused uint64      `json:"logins_refused"` // logins that the remote refused or revoked
	Connected     bool        `json:"connected"`      // the remote is connected and stores messages
}

// DeadLetters is how many messages are set aside now.
func (s *Stats) DeadLetters() uint64 { return s.Status.Dead + s.Telemetry.Dead }

// DeadReason is why the first of them was refused.
func (s *Stats) DeadReason() string { return cmp.Or(s.Status.DeadReason, s.Telemetry.DeadReason) }

// Waiting is how many messages wait for the remote to store them again.
func (s *Stats) Waiting() uint64 { return s.Status.Waiting + s.Telemetry.Waiting }

// WaitingSince is since when some wait; zero if none does.
func (s *Stats) WaitingSince() (since time.Time) {
	for _, at := range []*time.Time{s.Status.WaitingSince, s.Telemetry.WaitingSince} {
		if at != nil && (since.IsZero() || at.Before(since)) {
			since = *at
		}
	}
	return since
}

// WaitingReason is why the first of them does.
func (s *Stats) WaitingReason() string {
	return cmp.Or(s.Status.WaitingReason, s.Telemetry.WaitingReason)
}

// StreamStats is one stream's part of [Stats].
type StreamStats struct {
	Published uint64 `json:"published"` // stored since Open
	Forwarded uint64 `json:"forwarded"` // confirmed by the remote since Open
	CaughtUp  uint64 `json:"caught_up"` // of these, in and after a time in which the remote took nothing; counted once all that waited is confirmed
	Dropped   uint64 `json:"dropped"`   // gone, by the limit of the stream or of what is set aside, before they could be forwarded
	Backlog   uint64 `json:"backlog"`   // stored, and neither confirmed nor set aside yet; 0 without a remote
	Lost      uint64 `json:"lost"`      // STATUS: stored in an earlier run, and not there any more at Open
	Dead      uint64 `json:"dead"`      // set aside now, since the remote refuses them
	Messages  uint64 `json:"messages"`  // stored now
	Bytes     uint64 `json:"bytes"`     // their size on disk

	DeadReason string `json:"dead_reason,omitempty"` // subject of the first that is set aside, and why the remote refuses it

	Waiting        uint64 `json:"waiting"`                  // of the backlog: the remote does not store them at present, though it stored their like before
	WaitingReason  string `json:"waiting_reason,omitempty"` // subject of the first of these, and why
	Unacknowledged uint64 `json:"unacknowledged"`           // of forwarded: no stream of the remote has ever acknowledged their like
	Unconfirmed    string `json:"unconfirmed,omitempty"`    // the subjects of these, if it is so now
	Duplicates     uint64 `json:"duplicates"`               // whose ID another publisher had used before: they went out under another

	WaitingSince *time.Time `json:"waiting_since,omitempty"` // when the first of these was held

	Oldest *time.Time `json:"oldest_waiting,omitempty"` // when the oldest of the backlog was stored
}

// Stats asks the embedded server, for at most a second; what it does not
// answer stays 0.
func (o *Outbox) Stats() Stats {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	s := Stats{Status: o.streamStats(ctx, Status), Telemetry: o.streamStats(ctx, Telemetry)}
	if o.cfg.Remote != nil {
		state := o.cfg.Remote.State()
		s.ForwardErrors, s.LoginsRefused, s.Connected = state.Errors, state.LoginsRefused, state.Connected
	}
	return s
}

// CountPassed returns how many messages of a class were stored, and how many of them
// confirmed by the remote, since Open. It is cheap.
func (o *Outbox) CountPassed(c Class) (published, forwarded uint64) {
	if f := o.forwarders[c]; f != nil {
		forwarded = f.forwarded.Load()
	}
	return o.published[c].Load(), forwarded
}

func (o *Outbox) streamStats(ctx context.Context, c Class) StreamStats {
	var s StreamStats
	s.Published, s.Forwarded = o.CountPassed(c)
	if c == Status {
		s.Lost = o.lost
	}
	var info *jetstream.StreamInfo
	err := o.Err()
	if err == nil {
		info, err = o.streams[c].Info(ctx)
	}
	if err == nil {
		s.Messages, s.Bytes = info.State.Msgs, info.State.Bytes
	}
	f := o.forwarders[c]
	if f == nil {
		return s
	}
	now := f.state.Load() // later than info: what is settled now was there
	s.Dropped, s.CaughtUp, s.Unacknowledged, s.Duplicates = f.dropped.Load(), f.caughtUp.Load(), f.unacked.Load(), f.duplicates.Load()
	s.Dead, s.DeadReason = uint64(now.counts[refused]), now.reasons[refused]
	s.Waiting, s.WaitingReason = uint64(now.counts[waiting]), now.reasons[waiting]
	s.Unconfirmed = now.unconfirmed
	if s.Waiting > 0 {
		s.WaitingSince = &now.since
	}
	if err != nil {
		return s
	}
	read := now.read
	if first := info.State.FirstSeq; first > 0 {
		read = max(read, first-1)
	}
	s.Backlog = info.State.LastSeq - min(read, info.State.LastSeq) + uint64(now.counts[free]) + s.Waiting
	if s.Backlog > 0 {
		s.Oldest = o.findStoredTime(ctx, c, cmp.Or(now.oldest, read+1))
	}
	return s
}

// findStoredTime returns when the first message from a sequence on was stored; nil if it
// is there no more.
func (o *Outbox) findStoredTime(ctx context.Context, c Class, seq uint64) *time.Time {
	m, err := o.streams[c].GetMsg(ctx, seq, jetstream.WithGetMsgSubject(">"))
	if err != nil {
		return nil
	}
	at := m.Time.UTC()
	return &at
}

// StatusEnd returns the sequence of the last status message that is stored. It is for the
// caller of [Outbox.Publish], between two calls.
func (o *Outbox) StatusEnd() uint64 { return o.last[Status] }

// IsForwarded reports whether the remote has confirmed all status messages up to a sequence.
func (o *Outbox) IsForwarded(seq uint64) bool {
	f := o.forwarders[Status]
	if f == nil {
		return false
	}
	s := f.state.Load()
	return s.read >= seq && (s.oldest == 0 || s.oldest > seq)
}
