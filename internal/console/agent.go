package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// One is an agent with its history, as /api/v1/agents/{id} has it.
type One struct {
	Node     string    `json:"node"`
	Agent    Agent     `json:"agent"`
	Changes  []Event   `json:"changes"`     // newest first
	Trips    []Trip    `json:"round_trips"` // oldest first
	Messages []Message `json:"messages"`    // the last ones about it, newest first
}

// Trip is a keep-alive to an agent, and what became of it.
type Trip struct {
	At  time.Time `json:"at"`
	RTT *float64  `json:"rtt_ms"` // null: it was missed
}

// Message is what was told of an agent, in short.
type Message struct {
	At   time.Time `json:"at"`
	Type string    `json:"type"` // as the messages on NATS have it: keepalive_acknowledged, keepalive_failed, status_change, agent_flapping
	Text string    `json:"text"`
}

const (
	changesShown  = 200
	messagesShown = 30
	pingTime      = 10 * time.Second
)

// about finds the agent that a path names, or says that there is none.
func (s *Server) about(w http.ResponseWriter, r *http.Request) (a detector.Record, ok bool) {
	id, err := detector.ParseID(r.PathValue("id"))
	if err != nil {
		fail(w, http.StatusBadRequest, "want an agent's ID, such as 001")
		return a, false
	}
	if a, ok = s.cfg.Fleet.Agent(id); !ok {
		fail(w, http.StatusNotFound, fmt.Sprintf("agent %v is not known to node %s", id, s.cfg.Node))
	}
	return a, ok
}

func (s *Server) agent(w http.ResponseWriter, r *http.Request) {
	found, ok := s.about(w, r)
	if !ok {
		return
	}
	one := One{Node: s.cfg.Node, Agent: s.show(&found), Changes: []Event{}, Trips: []Trip{}, Messages: []Message{}}
	for _, e := range s.cfg.History.EventsOf(found.ID, changesShown) {
		shown := showEvent(&e)
		one.Changes = append(one.Changes, shown)
		one.Messages = append(one.Messages, Message{shown.At, shown.Kind, shown.inWords()})
	}
	for _, trip := range s.cfg.History.RoundTrips(found.ID) {
		shown, m := Trip{At: milli(trip.At)}, Message{milli(trip.At), "keepalive_failed", "no answer in time"}
		if trip.OK {
			ms := view.ToMilliseconds(trip.RTT)
			shown.RTT, m.Type, m.Text = &ms, "keepalive_acknowledged", "answered after "+trip.RTT.Round(time.Microsecond).String()
		}
		one.Trips, one.Messages = append(one.Trips, shown), append(one.Messages, m)
	}
	slices.SortStableFunc(one.Messages, func(a, b Message) int { return b.At.Compare(a.At) })
	one.Messages = one.Messages[:min(len(one.Messages), messagesShown)]
	answer(w, one)
}

// Pong is an answered ping.
type Pong struct {
	Node   string    `json:"node"`
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	SentAt time.Time `json:"sent_at"` // the keep-alive that was answered
	RTT    float64   `json:"rtt_ms"`
}

func (s *Server) ping(w http.ResponseWriter, r *http.Request) {
	agent, ok := s.about(w, r)
	if !ok {
		return
	}
	if !s.pings.Allow() {
		busy(w, fmt.Sprintf("more than %d pings a second", pingRate))
		return
	}
	select {
	case s.asked <- struct{}{}:
		defer func() { <-s.asked }()
	default:
		busy(w, "too many pings are under way")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingTime)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	got, err := s.cfg.Fleet.Ping(ctx, agent.ID)
	switch {
	case err == nil:
		answer(w, Pong{s.cfg.Node, agent.ID.String(), agent.Name, view.WallTime(got.SentAt, s.cfg.Clock), view.ToMilliseconds(got.RTT)})
	case s.ctx.Err() != nil || errors.Is(err, detector.ErrEnded):
		fail(w, http.StatusServiceUnavailable, "the node is ending")
	case errors.Is(err, context.DeadlineExceeded):
		fail(w, http.StatusGatewayTimeout, fmt.Sprintf("agent %v did not answer within %v", agent.ID, pingTime))
	case errors.Is(err, detector.ErrUnanswered):
		fail(w, http.StatusGatewayTimeout, fmt.Sprintf("agent %v: %v", agent.ID, err))
	case errors.Is(err, detector.ErrUnknownAgent): // removed since it was looked up
		fail(w, http.StatusNotFound, fmt.Sprintf("agent %v: %v", agent.ID, err))
	default: // there is no asking it
		fail(w, http.StatusConflict, fmt.Sprintf("agent %v: %v", agent.ID, err))
	}
}

func busy(w http.ResponseWriter, what string) {
	w.Header().Set("Retry-After", "1")
	fail(w, http.StatusTooManyRequests, what+": try again in a second")
}
