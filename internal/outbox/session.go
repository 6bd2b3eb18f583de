package outbox

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/remote"
)

// openSender sets f.sender to one on the present session. It waits while there is no
// session; the error is ctx's, or why nothing can be sent on it.
func (f *forwarder) openSender(ctx context.Context) error {
	if f.sender != nil && f.sender.Reason() != nil {
		f.reclaimMessages()
	}
	session, err := f.waitForSession(ctx)
	if err != nil {
		return err
	}
	if f.draining = f.sender != nil && f.sender.Session != session && len(f.sender.flight) > 0; f.draining {
		return nil
	}
	if f.sender != nil && f.sender.Session == session {
		return nil
	}
	if f.sender, err = newSender(session); err != nil {
		session.End(err)
		f.sender = nil
		return err
	}
	f.sender.listStreams(ctx, f.prefix, f.timing.confirm, &f.background)
	f.probed = time.Time{}
	return nil
}

// waitForSession returns the present session, or the next if there is none.
func (f *forwarder) waitForSession(ctx context.Context) (*remote.Session, error) {
	for began := time.Now(); ; {
		waiting, cancel := context.WithTimeout(ctx, f.timing.lossCheck)
		s, err := f.remote.Session(waiting)
		cancel()
		if err == nil && time.Since(began) > f.timing.outage {
			f.outage.beginOutage(began, f.forwarded.Load())
		}
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		f.reader.stopReading() // messages that the server has sent are read again later, not kept in memory
		f.countDroppedMeanwhile(ctx)
		f.publishState()
	}
}

// reclaimMessages puts the messages that are under way back into their queues.
func (f *forwarder) reclaimMessages() {
	if f.sender == nil {
		return
	}
	began := time.Now()
	for n, m := range f.sender.flight {
		if m.at.Before(began) {
			began = m.at
		}
		f.removeFromFlight(n)
		m.entry.tried = true
		f.queues.putBack(m.queue, m.entry)
	}
	f.queues.sortBySequence()
	if f.sender.Reason() != nil {
		f.outage.beginOutage(began, f.forwarded.Load())
	}
	f.sender = nil
}

// removeFromFlight removes a message from those that are under way.
func (f *forwarder) removeFromFlight(number uint64) {
	m := f.sender.flight[number]
	f.bytes -= m.bytes
	if m.late {
		f.late--
	}
	delete(f.sender.flight, number)
}

// yieldPoll is the time between two checks of whether the other forwarder has caught up.
const yieldPoll = 5 * time.Millisecond

// yieldToStatus reports whether status messages go first. It does so for a time only: the
// remote may be slow to confirm those alone.
func (f *forwarder) yieldToStatus() bool {
	if f.statusForwarder == nil || !f.statusForwarder.hasMessagesToSend() {
		f.yielding = time.Time{}
		return false
	}
	if f.yielding.IsZero() {
		f.yielding = time.Now()
	}
	if time.Since(f.yielding) < f.timing.confirm {
		return true
	}
	f.yielding = time.Time{}
	return false
}

// hasMessagesToSend reports whether there is something that could be sent now. It may be
// called concurrently.
func (f *forwarder) hasMessagesToSend() bool {
	s := f.state.Load()
	return s.ready > 0 || !s.full && f.reader.recent.lastSequence() > s.read
}
