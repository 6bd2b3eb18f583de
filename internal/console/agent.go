package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// AgentDetails is an agent with its history, as /api/v1/agents/{id} has it.
type AgentDetails struct {
	Node     string            `json:"node"`
	Agent    view.LocatedAgent `json:"agent"`
	Changes  []view.Event      `json:"changes"`             // newest first
	Trips    []RoundTrip       `json:"round_trips"`         // oldest first
	Messages []Message         `json:"messages"`            // the last ones about it, newest first
	WazuhURL string            `json:"wazuh_url,omitempty"` // its page in Wazuh's dashboard
}

// RoundTrip is a keep-alive to an agent, and its outcome.
type RoundTrip struct {
	At  time.Time `json:"at"`
	RTT *float64  `json:"rtt_ms"` // null: it was missed
}

// Message is a short form of a message about an agent.
type Message struct {
	At   time.Time `json:"at"`
	Type string    `json:"type"` // as the messages on NATS have it: keepalive_acknowledged, keepalive_failed, status_change, agent_flapping
	Text string    `json:"text"`
}

const (
	changesShown  = 200
	messagesShown = 30
	pingTimeout   = 10 * time.Second
)

// findAgent returns the agent that a path names, or answers with an error.
func (s *Server) findAgent(w http.ResponseWriter, r *http.Request) (a detector.Record, ok bool) {
	id, err := detector.ParseID(r.PathValue("id"))
	if err != nil {
		sendProblem(w, http.StatusBadRequest, "want an agent's ID, such as 001")
		return a, false
	}
	if a, ok = s.cfg.Fleet.Agent(id); !ok {
		sendProblem(w, http.StatusNotFound, fmt.Sprintf("agent %v is not known to node %s", id, s.cfg.Node))
	}
	return a, ok
}

func (s *Server) handleAgent(w http.ResponseWriter, r *http.Request) {
	found, ok := s.findAgent(w, r)
	if !ok {
		return
	}
	one := AgentDetails{Node: s.cfg.Node, Agent: s.presentAgent(&found), Changes: []view.Event{}, Trips: []RoundTrip{}, Messages: []Message{}, WazuhURL: s.wazuhURL(found.ID)}
	for _, e := range s.cfg.History.EventsOf(found.ID, changesShown) {
		shown := view.NewEvent(&e)
		one.Changes = append(one.Changes, shown)
		one.Messages = append(one.Messages, Message{shown.At, shown.Kind, shown.DescribeChange()})
	}
	for _, trip := range s.cfg.History.RoundTrips(found.ID) {
		shown, m := RoundTrip{At: view.TruncateTime(trip.At)}, Message{view.TruncateTime(trip.At), "keepalive_failed", "no answer in time"}
		if trip.OK {
			ms := view.ToMilliseconds(trip.RTT)
			shown.RTT, m.Type, m.Text = &ms, "keepalive_acknowledged", "answered after "+trip.RTT.Round(time.Microsecond).String()
		}
		one.Trips, one.Messages = append(one.Trips, shown), append(one.Messages, m)
	}
	slices.SortStableFunc(one.Messages, func(a, b Message) int { return b.At.Compare(a.At) })
	one.Messages = one.Messages[:min(len(one.Messages), messagesShown)]
	sendJSON(w, one)
}

// wazuhURL returns the address of an agent's page in Wazuh's dashboard, as Wazuh 4.9 and later
// have it; "" if it is not known where that is.
func (s *Server) wazuhURL(id detector.AgentID) string {
	if s.cfg.WazuhDashboard == "" {
		return ""
	}
	return strings.TrimRight(s.cfg.WazuhDashboard, "/") + "/app/endpoints-summary#/agents?tab=welcome&agent=" + id.String()
}

func (s *Server) handleAgentPing(w http.ResponseWriter, r *http.Request) {
	agent, ok := s.findAgent(w, r)
	if !ok {
		return
	}
	if !s.pingRate.Allow() {
		sendTooManyRequests(w, fmt.Sprintf("more than %d pings a second", pingsPerSecond))
		return
	}
	select {
	case s.pingSlots <- struct{}{}:
		defer func() { <-s.pingSlots }()
	default:
		sendTooManyRequests(w, "too many pings are under way")
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), pingTimeout)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	got, err := s.cfg.Fleet.Ping(ctx, agent.ID)
	switch {
	case err == nil:
		sendJSON(w, view.NewPingAnswer(s.cfg.Node, &agent, got, s.cfg.Clock))
	case s.ctx.Err() != nil || errors.Is(err, detector.ErrEnded):
		sendProblem(w, http.StatusServiceUnavailable, "the node is ending")
	case errors.Is(err, context.DeadlineExceeded):
		sendProblem(w, http.StatusGatewayTimeout, fmt.Sprintf("agent %v did not answer within %v", agent.ID, pingTimeout))
	case errors.Is(err, detector.ErrUnanswered):
		sendProblem(w, http.StatusGatewayTimeout, fmt.Sprintf("agent %v: %v", agent.ID, err))
	case errors.Is(err, detector.ErrUnknownAgent): // removed in the meantime
		sendProblem(w, http.StatusNotFound, fmt.Sprintf("agent %v: %v", agent.ID, err))
	default: // the agent cannot be asked
		sendProblem(w, http.StatusConflict, fmt.Sprintf("agent %v: %v", agent.ID, err))
	}
}

func sendTooManyRequests(w http.ResponseWriter, what string) {
	w.Header().Set("Retry-After", "1")
	sendProblem(w, http.StatusTooManyRequests, what+": try again in a second")
}
