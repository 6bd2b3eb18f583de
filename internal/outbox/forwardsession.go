package outbox

import (
	"context"
	"time"

	"github.com/wazuh-pulse/pulse/internal/remote"
)

func (f *forwarder) connect(ctx context.Context) error {
	if f.to != nil && f.to.Reason() != nil {
		f.reclaim()
	}
	session, err := f.session(ctx)
	if err != nil {
		return err
	}
	if f.draining = f.to != nil && f.to.Session != session && len(f.to.flight) > 0; f.draining {
		return nil
	}
	if f.to != nil && f.to.Session == session {
		return nil
	}
	if f.to, err = newSender(session); err != nil {
		session.End(err)
		f.to = nil
		return err
	}
	f.to.listStreams(ctx, f.prefix, f.timing.sent, &f.pinging)
	f.probed = time.Time{}
	return nil
}

func (f *forwarder) session(ctx context.Context) (*remote.Session, error) {
	for began := time.Now(); ; {
		waiting, cancel := context.WithTimeout(ctx, f.timing.look)
		s, err := f.remote.Session(waiting)
		cancel()
		if err == nil && time.Since(began) > f.timing.gap {
			f.gap.begin(began, f.forwarded.Load())
		}
		if err == nil || ctx.Err() != nil {
			return s, err
		}
		f.from.stopReading() // what is on its way from the stream is read again: it is not lost, nor to be kept in memory
		f.look(ctx)
		f.publishState()
	}
}

func (f *forwarder) reclaim() {
	if f.to == nil {
		return
	}
	began := time.Now()
	for n, m := range f.to.flight {
		if m.at.Before(began) {
			began = m.at
		}
		f.land(n)
		m.entry.tried = true
		f.queues.putBack(m.queue, m.entry)
	}
	f.queues.sortBySequence()
	if f.to.Reason() != nil {
		f.gap.begin(began, f.forwarded.Load())
	}
	f.to = nil
}

func (f *forwarder) land(number uint64) {
	m := f.to.flight[number]
	f.bytes -= m.bytes
	if m.late {
		f.late--
	}
	delete(f.to.flight, number)
}
