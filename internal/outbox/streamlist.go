package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
)

// streamList is a server's list of its streams.
type streamList struct {
	asked    time.Time
	patterns []string // subjects of those that acknowledge
	err      error    // why the list is not complete
}

// listStreams requests the list of streams in a goroutine of its own. One runs at a time.
func (s *sender) listStreams(ctx context.Context, prefix string, wait time.Duration, running *sync.WaitGroup) {
	if !s.listing.CompareAndSwap(false, true) {
		return
	}
	asked := time.Now()
	s.asked = asked
	running.Go(func() {
		patterns, err := ListedSubjects(ctx, s.Conn, s.JetStreamDomain(), prefix, wait)
		s.mu.Lock()
		s.listed = &streamList{asked, patterns, err}
		s.mu.Unlock()
		s.listing.Store(false)
		s.notified.Send()
	})
}

// takeStreamList returns a new answer; nil for none.
func (s *sender) takeStreamList() *streamList {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.listed
	s.listed = nil
	return l
}

// pagesMax is how many pages of streams are read, of 256 each or more.
const pagesMax = 100

// ListedSubjects returns the subjects of the streams that a server lists for messages
// under prefix, those of a domain if it is given, and that acknowledge what they store. After an error there may be
// others: the server refuses the request, is not ready, or its list is not complete.
func ListedSubjects(ctx context.Context, nc *nats.Conn, domain jsdomain.Domain, prefix string, wait time.Duration) (patterns []string, err error) {
	ctx, cancel := context.WithTimeout(ctx, min(wait, 2*time.Second))
	defer cancel()
	for page, offset := 0, 0; page < pagesMax; page++ {
		question := fmt.Appendf(nil, `{"offset":%d,"subject":%q}`, offset, prefix+".>")
		m, err := nc.RequestWithContext(ctx, domain.Subject("$JS.API.STREAM.LIST"), question)
		if with, _ := nc.ConnectedServerJetStream(); errors.Is(err, nats.ErrNoResponders) && !with && domain == "" {
			return nil, nil
		}
		if err != nil {
			return patterns, fmt.Errorf("list the streams: %w", err)
		}
		list, err := parseStreamList(m.Data)
		if err != nil {
			return patterns, fmt.Errorf("list the streams: %w", err)
		}
		patterns = append(patterns, list.subjects...)
		if offset += list.streams; list.streams == 0 || offset >= list.total {
			return patterns, nil
		}
	}
	return patterns, nil
}

// streamPage is one page of an answer.
type streamPage struct {
	subjects       []string
	streams, total int
}

// errIncomplete is returned when a server lists streams without their settings.
var errIncomplete = errors.New("the NATS server does not know all of its streams at present")

// parseStreamList reads an answer. That there is no JetStream for us is none.
func parseStreamList(data []byte) (p streamPage, err error) {
	var answer struct {
		Total   int                 `json:"total"`
		Error   *jetstream.APIError `json:"error"`
		Missing []string            `json:"missing"`
		Offline map[string]string   `json:"offline"`
		Streams []struct {
			Config struct {
				Subjects []string `json:"subjects"`
				NoAck    bool     `json:"no_ack"`
			} `json:"config"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return p, err
	}
	if e := answer.Error; e != nil {
		if slices.Contains([]jetstream.ErrorCode{jetstream.JSErrCodeJetStreamNotEnabled, jetstream.JSErrCodeJetStreamNotEnabledForAccount}, e.ErrorCode) {
			return p, nil
		}
		return p, e
	}
	p.streams, p.total = len(answer.Streams), answer.Total
	for _, s := range answer.Streams {
		if !s.Config.NoAck {
			p.subjects = append(p.subjects, s.Config.Subjects...)
		}
	}
	if len(answer.Missing)+len(answer.Offline) > 0 {
		return p, errIncomplete
	}
	return p, nil
}

// learnStored records that a stream stores messages like this one. m is nil for one
// that was settled before its answer came.
func (f *forwarder) learnStored(m *sending, kind string) {
	subject := kind
	if m != nil {
		subject = m.queue.subject
	}
	if f.shared.stored.hasSubject(subject) {
		return
	}
	if m != nil {
		f.rememberStored(subject)
	}
	f.acked[kind] = subject
	f.sender.listComplete, f.sender.asked, f.ackedAt = false, time.Time{}, time.Now() // the list shows which others
}

// rememberStored adds to the subjects that the remote stores. What could not be written
// to disk is tried again with the next call.
func (f *forwarder) rememberStored(patterns ...string) {
	err := f.shared.stored.addPatterns(patterns...)
	if err != nil && !f.storedUnsaved {
		f.log.Error("cannot remember which subjects the NATS server stores", "err", err)
	}
	f.storedUnsaved = err != nil
}

// updateStoredSubjects handles a list of the remote's streams, and asks again while it
// was not complete.
func (f *forwarder) updateStoredSubjects(ctx context.Context) {
	if l := f.sender.takeStreamList(); l != nil {
		f.rememberStored(patternsUnder(f.prefix, l.patterns)...)
		f.sender.listAnswered = true
		if l.asked.After(f.ackedAt) {
			f.sender.listComplete = l.err == nil
			for kind, subject := range f.acked {
				if l.err != nil || !Covers(l.patterns, subject) {
					f.rememberStored(kind)
				}
			}
			clear(f.acked)
		}
	}
	if f.storedUnsaved && time.Since(f.retried) > savePeriod {
		f.retried = time.Now()
		f.rememberStored()
	}
	if !f.sender.listComplete && time.Since(f.sender.asked) > f.timing.review {
		f.sender.listStreams(ctx, f.prefix, f.timing.confirm, &f.background)
	}
}

// roundTripConfirms reports whether a round trip confirms messages of a subject: no
// stream has ever stored one, and the remote lists none for them, or does not answer. Where
// a domain is set there is JetStream, which lists its streams: without an answer, it is away.
func (f *forwarder) roundTripConfirms(subject string) bool {
	_, acked := f.acked[kindOfSubject(f.prefix, subject)]
	return !acked && !f.shared.stored.hasSubject(subject) && (f.sender.listComplete || f.sender.JetStreamDomain() == "" && time.Since(f.sender.began) > f.timing.unknown)
}

// patternsUnder returns the patterns that may match subjects under a prefix.
func patternsUnder(prefix string, patterns []string) (out []string) {
	first, _, _ := strings.Cut(prefix, ".")
	for _, p := range patterns {
		if token, _, _ := strings.Cut(p, "."); token == first || token == "*" || token == ">" {
			out = append(out, p)
		}
	}
	return out
}
