package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/history"
)

const (
	batchMost     = 5000                   // events told at once
	behindMost    = 40_000                 // events that a client may be behind
	batchPause    = 100 * time.Millisecond // between two tellings, so that a storm is told in few
	statusPeriod  = 2 * time.Second
	writeTime     = 10 * time.Second // for a client to take what it is told
	changesUsual  = 100
	changesOfMost = 1000
)

// feed tells one client what happens: server-sent events.
type feed struct {
	*Server
	w    http.ResponseWriter
	out  *http.ResponseController
	last uint64 // event that it was told
}

// events tells what happens from now on, or from behind the Last-Event-ID, for
// as long as the client listens.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	ctx, end := context.WithCancel(r.Context())
	defer end()
	place := s.heard.add(clientOf(r), end)
	if place == nil {
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("%d clients follow the events already: try again in some seconds", s.heard.count()))
		return
	}
	defer s.heard.remove(place)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx, and others after it, would collect events
	w.Header().Set("Cache-Control", "no-store, no-transform")
	f := &feed{Server: s, w: w, out: http.NewResponseController(w), last: s.cfg.History.LastSequence()}
	ok := f.hello()
	if id := r.Header.Get("Last-Event-ID"); ok && id != "" {
		ok = f.resume(id)
	}
	beat := time.NewTicker(statusPeriod)
	defer beat.Stop()
	for ok && ctx.Err() == nil {
		var more <-chan struct{}
		if more, ok = f.tell(); !ok {
			return
		}
		select {
		case <-more: // nil only when there is more already
		case <-beat.C:
			ok = f.send("status", "", s.summary())
		case <-ctx.Done():
		case <-s.ctx.Done():
			return
		}
	}
}

// hello says who tells, and how the node is.
func (f *feed) hello() bool {
	return f.send("hello", "", map[string]any{"node": f.cfg.Node, "version": f.cfg.Version, "epoch": f.cfg.Epoch, "seq": f.last}) &&
		f.send("status", "", f.summary())
}

// resume goes back to behind an event of this life of the node. Where that
// cannot be, the client has to look at the fleet anew.
func (f *feed) resume(id string) bool {
	epoch, seq, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(seq, 10, 64)
	switch {
	case err != nil || epoch != strconv.FormatUint(f.cfg.Epoch, 10) || n > f.last:
		return f.send("reset", f.id(f.last), map[string]string{"detail": "that event is of another life of the node: look at the fleet anew"})
	case f.last-n > behindMost:
		return f.send("reset", f.id(f.last), map[string]string{"detail": "too much has happened since that event: look at the fleet anew"})
	}
	f.last = n
	return true
}

// tell tells what there is, and returns what is closed when there is more.
func (f *feed) tell() (<-chan struct{}, bool) {
	for {
		events, gone, more := f.cfg.History.EventsAfter(f.last, batchMost)
		if len(events) == 0 {
			return more, true
		}
		if behind := f.cfg.History.LastSequence() - f.last; gone > 0 || behind > behindMost {
			f.send("dropped", "", map[string]any{"missed": behind, "detail": "you do not keep up with the events: connect again, and look at the fleet anew"})
			return nil, false
		}
		f.last = events[len(events)-1].Seq
		if !f.send("changes", f.id(f.last), showAll(events)) {
			return nil, false
		}
		if len(events) < batchMost {
			select {
			case <-time.After(batchPause):
			case <-f.ctx.Done():
				return nil, false
			}
		}
	}
}

func showAll(events []history.Event) []Event {
	shown := make([]Event, len(events))
	for i := range events {
		shown[i] = showEvent(&events[i])
	}
	return shown
}

func (f *feed) id(seq uint64) string { return fmt.Sprintf("%d-%d", f.cfg.Epoch, seq) }

func (f *feed) send(kind, id string, data any) bool {
	text, err := json.Marshal(data)
	if err != nil {
		return false
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	_ = f.out.SetWriteDeadline(time.Now().Add(writeTime))
	if _, err := fmt.Fprintf(f.w, "event: %s\n%sdata: %s\n\n", kind, id, text); err != nil {
		return false
	}
	return f.out.Flush() == nil
}

// Changes are the last events, as /api/v1/changes has them.
type Changes struct {
	Node   string  `json:"node"`
	Last   string  `json:"last_event_id"` // what to follow the events from
	Events []Event `json:"events"`        // newest first
}

func (s *Server) changes(w http.ResponseWriter, r *http.Request) {
	limit := changesUsual
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > changesOfMost {
			fail(w, http.StatusBadRequest, fmt.Sprintf("limit: want a whole number from 1 to %d", changesOfMost))
			return
		}
	}
	events := s.cfg.History.LatestEvents(limit)
	last := uint64(0)
	if len(events) > 0 {
		last = events[0].Seq
	}
	answer(w, Changes{s.cfg.Node, fmt.Sprintf("%d-%d", s.cfg.Epoch, last), showAll(events)})
}
