package outbox

import (
	"context"
	"strings"
	"time"
)

func (f *forwarder) learnStored(m *sending, kind string) {
	subject := kind
	if m != nil {
		subject = m.queue.subject
	}
	if f.shared.stored.has(subject) {
		return
	}
	if m != nil {
		f.rememberStored(subject)
	}
	f.acked[kind] = subject
	f.to.none, f.to.asked, f.ackedAt = false, time.Time{}, time.Now() // the list says which others
}

func (f *forwarder) rememberStored(patterns ...string) {
	err := f.shared.stored.addPatterns(patterns...)
	if err != nil && !f.forgetful {
		f.log.Error("cannot remember which subjects the NATS server stores", "err", err)
	}
	f.forgetful = err != nil
}

func (f *forwarder) takeStreams(ctx context.Context) {
	if l := f.to.takeList(); l != nil {
		f.rememberStored(under(f.prefix, l.patterns)...)
		f.to.heard = true
		if l.asked.After(f.ackedAt) {
			f.to.none = l.err == nil
			for kind, subject := range f.acked {
				if l.err != nil || !Covers(l.patterns, subject) {
					f.rememberStored(kind)
				}
			}
			clear(f.acked)
		}
	}
	if f.forgetful && time.Since(f.retried) > savePeriod {
		f.retried = time.Now()
		f.rememberStored()
	}
	if !f.to.none && time.Since(f.to.asked) > f.timing.dead {
		f.to.listStreams(ctx, f.prefix, f.timing.sent, &f.pinging)
	}
}

func (f *forwarder) confirmsAlone(subject string) bool {
	_, acked := f.acked[kindOf(f.prefix, subject)]
	return !acked && !f.shared.stored.has(subject) && (f.to.none || time.Since(f.to.began) > f.timing.unknown)
}

func under(prefix string, patterns []string) (out []string) {
	first, _, _ := strings.Cut(prefix, ".")
	for _, p := range patterns {
		if token, _, _ := strings.Cut(p, "."); token == first || token == "*" || token == ">" {
			out = append(out, p)
		}
	}
	return out
}
