package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// How long a node delays an answer that another node may have a better one for:
// about an agent that is not connected to it, and about one that it does not know.
const (
	absentAnswerDelay  = 250 * time.Millisecond
	unknownAnswerDelay = 500 * time.Millisecond
)

// getAnswer is the answer to agents.get.
type getAnswer struct {
	Node  string     `json:"node"`
	Agent view.Agent `json:"agent"`
}

func parseStatusRequest(data []byte) (none struct{}, err error) { return none, parseRequest(data, nil) }

func (c *connection) handleStatusRequest(q *request, _ struct{}) {
	c.runLater(c.statuses, q, func() {
		var status any
		if !c.runInTurn(c.counting, func() { status = c.cfg.Status() }) {
			q.sendRefusal(errEnding)
			return
		}
		q.sendAnswer(status)
	})
}

// handleNodesRequest answers with the nodes of the cluster.
func (c *connection) handleNodesRequest(q *request, _ struct{}) {
	c.runLater(c.statuses, q, func() { q.sendAnswer(c.cfg.Nodes()) })
}

func (c *connection) handleGetRequest(q *request, id detector.AgentID) {
	c.findAgent(q, id, func(agent *detector.Record, here bool) {
		answer := getAnswer{c.cfg.Node, view.NewAgent(c.cfg.Fleet, agent, c.cfg.Clock)}
		if here {
			q.sendAnswer(answer)
			return
		}
		c.answerLater(c.absentDelay, q, func() { q.sendAnswer(answer) })
	})
}

// findAgent calls answer with the agent and whether it is connected to this
// node, or refuses the request because the agent is unknown.
func (c *connection) findAgent(q *request, id detector.AgentID, answer func(agent *detector.Record, here bool)) {
	agent, known := c.cfg.Fleet.Agent(id)
	switch {
	case c.ctx.Err() != nil: // the detector may have ended
		q.sendRefusal(errEnding)
	case !known:
		c.answerLater(c.unknownDelay, q, func() { q.sendRefusal(c.refuseUnknownAgent(id)) })
	default:
		answer(&agent, agent.Node == 0 && (agent.Status == detector.Active || agent.Status == detector.Pending))
	}
}

func (c *connection) refuseUnknownAgent(id detector.AgentID) *refusal {
	return &refusal{notFound, fmt.Sprintf("agent %v is not known to node %s", id, c.cfg.Node)}
}

// refuseAbsentAgent refuses a ping to an agent that is not connected to this node.
func (c *connection) refuseAbsentAgent(agent *detector.Record) *refusal {
	text := fmt.Sprintf("agent %v is %v", agent.ID, agent.Status)
	if agent.Node != 0 {
		text += fmt.Sprintf(" on node %s, which alone can send it a keep-alive", view.NodeName(c.cfg.Fleet, agent.Node))
	}
	return &refusal{conflict, text}
}

func (c *connection) handlePingRequest(q *request, want pingRequest) {
	c.findAgent(q, want.id, func(agent *detector.Record, here bool) {
		switch {
		case !here:
			c.answerLater(c.absentDelay, q, func() {
				q.sendRefusal(c.refuseAbsentAgent(agent))
			})
		case !c.pings.Allow():
			q.sendRefusal(&refusal{tooMany, fmt.Sprintf("more than %d pings a second: try again in a second", pingRate)})
		default:
			c.runLater(c.pinging, q, func() { c.pingAndAnswer(q, want, agent) })
		}
	})
}

// pingAndAnswer sends the agent a keep-alive and answers the request with the
// outcome.
func (c *connection) pingAndAnswer(q *request, want pingRequest, agent *detector.Record) {
	ctx, cancel := context.WithTimeout(c.ctx, want.timeout)
	defer cancel()
	got, err := c.cfg.Fleet.Ping(ctx, want.id)
	switch {
	case err == nil:
		q.sendAnswer(view.NewPingAnswer(c.cfg.Node, agent, got, c.cfg.Clock))
	case c.ctx.Err() != nil || errors.Is(err, detector.ErrEnded):
		q.sendRefusal(errEnding)
	case errors.Is(err, detector.ErrUnknownAgent): // removed in the meantime
		q.sendRefusal(c.refuseUnknownAgent(want.id))
	case errors.Is(err, context.DeadlineExceeded):
		q.sendRefusal(&refusal{timedOut, fmt.Sprintf("agent %v did not answer within %v", want.id, want.timeout)})
	case errors.Is(err, detector.ErrUnanswered):
		q.sendRefusal(&refusal{timedOut, fmt.Sprintf("agent %v: %v", want.id, err)})
	default: // the agent cannot be asked
		q.sendRefusal(&refusal{conflict, fmt.Sprintf("agent %v: %v", want.id, err)})
	}
}
