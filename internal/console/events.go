package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/view"
)

const (
	maxBatch       = 5000                   // events in one message
	maxBehind      = 40_000                 // events that a client may be behind
	batchPause     = 100 * time.Millisecond // between full messages, so that a storm needs few
	statusPeriod   = 2 * time.Second
	writeTimeout   = 10 * time.Second // for a client to read what is sent
	defaultChanges = 100
	maxChanges     = 1000
)

// eventStream sends server-sent events to one client.
type eventStream struct {
	*Server
	w          http.ResponseWriter
	controller *http.ResponseController
	last       uint64 // event that was sent
}

// handleEvents sends the events from now on, or after the Last-Event-ID, until the
// client disconnects.
func (s *Server) handleEvents(w http.ResponseWriter, r *http.Request) {
	ctx, end := context.WithCancel(r.Context())
	defer end()
	place := s.subscriptions.addSubscription(clientNetworkOf(r), end)
	if place == nil {
		sendProblem(w, http.StatusServiceUnavailable, fmt.Sprintf("%d clients follow the events already: try again in some seconds", s.subscriptions.countOpenSubscriptions()))
		return
	}
	defer s.subscriptions.removeSubscription(place)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // nginx and other proxies would buffer events
	w.Header().Set("Cache-Control", "no-store, no-transform")
	f := &eventStream{Server: s, w: w, controller: http.NewResponseController(w), last: s.cfg.History.LastSequence()}
	ok := f.sendHello()
	if id := r.Header.Get("Last-Event-ID"); ok && id != "" {
		ok = f.resumeAfterEvent(id)
	}
	beat := time.NewTicker(statusPeriod)
	defer beat.Stop()
	for ok && ctx.Err() == nil {
		var more <-chan struct{}
		if more, ok = f.sendNewEvents(); !ok {
			return
		}
		select {
		case <-more: // nil only when there is more already
		case <-beat.C:
			ok = f.sendServerEvent("status", "", s.newFleetSummary())
		case <-ctx.Done():
		case <-s.ctx.Done():
			return
		}
	}
}

// sendHello sends which node it is, and its state.
func (f *eventStream) sendHello() bool {
	return f.sendServerEvent("hello", "", map[string]any{"node": f.cfg.Node, "version": f.cfg.Version, "epoch": f.cfg.Epoch, "seq": f.last}) &&
		f.sendServerEvent("status", "", f.newFleetSummary())
}

// resumeAfterEvent continues after an event of this run of the node. If it cannot, the
// client has to read the whole fleet again.
func (f *eventStream) resumeAfterEvent(id string) bool {
	epoch, seq, _ := strings.Cut(id, "-")
	n, err := strconv.ParseUint(seq, 10, 64)
	switch {
	case err != nil || epoch != strconv.FormatUint(f.cfg.Epoch, 10) || n > f.last:
		return f.sendServerEvent("reset", f.formatEventID(f.last), map[string]string{"detail": "that event is of another life of the node: look at the fleet anew"})
	case f.last-n > maxBehind:
		return f.sendServerEvent("reset", f.formatEventID(f.last), map[string]string{"detail": "too much has happened since that event: look at the fleet anew"})
	}
	f.last = n
	return true
}

// sendNewEvents sends all events that there are, and returns a channel that is closed
// when there are more.
func (f *eventStream) sendNewEvents() (<-chan struct{}, bool) {
	for {
		events, gone, more := f.cfg.History.EventsAfter(f.last, maxBatch)
		if len(events) == 0 {
			return more, true
		}
		if behind := f.cfg.History.LastSequence() - f.last; gone > 0 || behind > maxBehind {
			f.sendServerEvent("dropped", "", map[string]any{"missed": behind, "detail": "you do not keep up with the events: connect again, and look at the fleet anew"})
			return nil, false
		}
		f.last = events[len(events)-1].Seq
		if !f.sendServerEvent("changes", f.formatEventID(f.last), view.NewEvents(events)) {
			return nil, false
		}
		if len(events) < maxBatch {
			select {
			case <-time.After(batchPause):
			case <-f.ctx.Done():
				return nil, false
			}
		}
	}
}

func (f *eventStream) formatEventID(seq uint64) string { return fmt.Sprintf("%d-%d", f.cfg.Epoch, seq) }

func (f *eventStream) sendServerEvent(kind, id string, data any) bool {
	text, err := json.Marshal(data)
	if err != nil {
		return false
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	_ = f.controller.SetWriteDeadline(time.Now().Add(writeTimeout))
	if _, err := fmt.Fprintf(f.w, "event: %s\n%sdata: %s\n\n", kind, id, text); err != nil {
		return false
	}
	return f.controller.Flush() == nil
}

func (s *Server) handleChanges(w http.ResponseWriter, r *http.Request) {
	limit := defaultChanges
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxChanges {
			sendProblem(w, http.StatusBadRequest, fmt.Sprintf("limit: want a whole number from 1 to %d", maxChanges))
			return
		}
	}
	events := s.cfg.History.LatestEvents(limit)
	last := uint64(0)
	if len(events) > 0 {
		last = events[0].Seq
	}
	sendJSON(w, view.Changes{Node: s.cfg.Node, Last: fmt.Sprintf("%d-%d", s.cfg.Epoch, last), Events: view.NewEvents(events)})
}
