package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/plural"
)

// ClusterReport is the result of a demo of a cluster.
type ClusterReport struct {
	Nodes  int `json:"nodes"`
	Agents int `json:"agents"`

	Moves         int     `json:"moves"`            // that were made
	Moved         int     `json:"moved"`            // agent_moved
	SlowMoves     int     `json:"slow_moves"`       // moves that were a loss and a return
	SlowestMoveMS float64 `json:"moved_after_ms"`   // the slowest agent_moved
	PutRight      int     `json:"losses_put_right"` // agent_moved by the node that had reported a loss

	Deaths         int `json:"deaths"`
	DeathsReported int `json:"deaths_reported"`
	Changes        int `json:"status_changes"`
	Alerts         int `json:"alerts"` // of single agents

	FalseLosses  int      `json:"false_losses"`  // of agents that lived
	FalseReturns int      `json:"false_returns"` // of agents that were dead, or known to be active there
	FalseAlerts  int      `json:"false_alerts"`  // of agents or nodes that lived, of outages
	Missed       []string `json:"missed"`        // deaths, moves and returns that were not reported
	WrongStates  []string `json:"wrong_states"`  // what is stored and not true at the end

	NodesLost          int      `json:"nodes_lost"` // node_lost, of the node that was killed
	NodeLostAfterMS    *float64 `json:"node_lost_after_ms"`
	NodeLostBy         string   `json:"node_lost_by"`
	AgentsEnded        int      `json:"agents_ended_with_node"` // agents whose hosts died with it
	AgentsLostWithNode int      `json:"agents_lost_with_node"`  // reported
	NodesBack          int      `json:"nodes_back"`             // node_back
	NodeBackAfterMS    *float64 `json:"node_back_after_ms"`

	Messages uint64 `json:"messages"`      // numbered by the nodes, up to the last received of each
	Lost     int    `json:"lost_messages"` // of these, not received
	Repeated int    `json:"repeated_messages"`
	Verified int    `json:"verified_messages"`
	Refused  int    `json:"refused_messages"` // with an invalid signature or content, or replayed
	Refusal  string `json:"refusal,omitempty"`

	Attached bool `json:"-"`
}

const (
	// longestNodeLoss is within what time the loss of a node has to be reported.
	longestNodeLoss = 35 * time.Second
	// lostWithTime is the same of the loss of agents with their node.
	lostWithTime = longestNodeLoss + timeout + 2*time.Second
)

// Err returns an error if Pulse was wrong.
func (r *ClusterReport) Err() error {
	var err error
	wrong := func(n int, format string, args ...any) {
		if n > 0 {
			err = errors.Join(err, fmt.Errorf(format, args...))
		}
	}
	wrong(r.FalseLosses, "agents called dead that lived: %d", r.FalseLosses)
	wrong(r.FalseReturns, "agents called active, or moved, that were not: %d", r.FalseReturns)
	wrong(r.FalseAlerts, "false alerts: %d", r.FalseAlerts)
	wrong(r.SlowMoves, "moves that were reported as a loss and a return: %d of %d", r.SlowMoves, r.Moves)
	wrong(len(r.Missed), "what was not reported: %s", strings.Join(r.Missed, ", "))
	wrong(len(r.WrongStates), "what is stored and not true: %s", strings.Join(r.WrongStates, "; "))
	wrong(r.NodesLost-1, "the loss of one node was reported %d times", r.NodesLost)
	wrong(r.NodesBack-1, "the return of one node was reported %d times", r.NodesBack)
	if after := r.NodeLostAfterMS; after != nil && *after > toMilliseconds(longestNodeLoss) {
		wrong(1, "the loss of a node was reported after %v ms, want %v", *after, longestNodeLoss)
	}
	wrong(r.Lost, "messages that did not arrive: %d of %d", r.Lost, r.Messages)
	wrong(r.Refused, "messages that were refused: %d, the first on %s", r.Refused, r.Refusal)
	return err
}

// WriteJSON writes the report as one JSON object.
func (r *ClusterReport) WriteJSON(w io.Writer) error {
	shown := *r
	shown.Missed, shown.WrongStates = append([]string{}, r.Missed...), append([]string{}, r.WrongStates...) // empty, and not null
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(&shown)
}

// WriteText writes the report as text.
func (r *ClusterReport) WriteText(w io.Writer) {
	fmt.Fprintf(w, "\n%s, %s, %s, %s of single agents; %s verified, %d lost, %d came twice.\n", plural.CountNoun(r.Nodes, "node"), plural.CountNoun(r.Agents, "agent"),
		plural.CountNoun(r.Changes, "status change"), plural.CountNoun(r.Alerts, "alert"), plural.CountNoun(r.Verified, "message"), r.Lost, r.Repeated)
	fmt.Fprintf(w, "  moves:       %d, of which %d were reported as such, after %v at most\n", r.Moves, r.Moved, millisecondsText(r.SlowestMoveMS))
	fmt.Fprintf(w, "  deaths:      %d, of which %d were reported\n", r.Deaths, r.DeathsReported)
	if r.NodeLostAfterMS != nil {
		fmt.Fprintf(w, "  node lost:   after %v, by %s; %d of the %d agents that died with it are lost with it\n",
			millisecondsText(*r.NodeLostAfterMS), r.NodeLostBy, r.AgentsLostWithNode, r.AgentsEnded)
	}
	if r.NodeBackAfterMS != nil {
		fmt.Fprintf(w, "  node back:   after %v\n", millisecondsText(*r.NodeBackAfterMS))
	}
	fmt.Fprintf(w, "  false:       %s, %s, %s; %s put right\n", countLosses(r.FalseLosses), plural.CountNoun(r.FalseReturns, "return"),
		plural.CountNoun(r.FalseAlerts, "alert"), countLosses(r.PutRight))
	switch {
	case r.Err() != nil: // the caller prints the error
	case r.NodeLostAfterMS == nil:
		fmt.Fprintf(w, "There was no time for the loss of a node. Let the demo run for %v or more.\n", ClusterTime)
	default:
		fmt.Fprintln(w, "What lived was never called dead, wherever it moved, and every death was reported once.")
	}
}

func countLosses(n int) string {
	return fmt.Sprintf("%d %s", n, plural.ChooseForm(n, "loss", "losses"))
}

func millisecondsText(ms float64) time.Duration {
	return roundDuration(time.Duration(ms * float64(time.Millisecond)))
}
