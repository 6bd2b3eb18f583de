package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// For how long a node that has nothing good to say about an agent
// waits, for another to say something better: it knows the agent, but it is not
// connected here; it does not know it.
const (
	holdAbsent  = 250 * time.Millisecond
	holdUnknown = 500 * time.Millisecond
)

// single answers a get.
type single struct {
	Node  string     `json:"node"`
	Agent view.Agent `json:"agent"`
}

// pong answers a ping.
type pong struct {
	Node   string    `json:"node"`
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	SentAt time.Time `json:"sent_at"` // the keep-alive that was answered
	RTT    float64   `json:"rtt_ms"`
}

func (t *table) status(q *question) {
	if err := parse(q.Data, nil); err != nil {
		q.refuse(&refusal{badRequest, err.Error()})
		return
	}
	t.later(t.statuses, q, func() {
		var status any
		if !t.inTurn(t.counting, func() { status = t.cfg.Status() }) {
			q.refuse(errEnding)
			return
		}
		q.answer(status)
	})
}

func (t *table) get(q *question) {
	id, err := parseGet(q.Data)
	if err != nil {
		q.refuse(&refusal{badRequest, err.Error()})
		return
	}
	t.about(q, id, func(agent *detector.Record, here bool) {
		answer := single{t.cfg.Node, view.NewAgent(agent, t.cfg.Clock)}
		if here {
			q.answer(answer)
			return
		}
		t.hold(t.absent, q, func() { q.answer(answer) })
	})
}

// about looks an agent up and says whether it is connected here, or refuses the
// question because it is not known.
func (t *table) about(q *question, id detector.AgentID, answer func(agent *detector.Record, here bool)) {
	agent, known := t.cfg.Fleet.Agent(id)
	switch {
	case t.ctx.Err() != nil: // the detector may have ended
		q.refuse(errEnding)
	case !known:
		t.hold(t.stranger, q, func() { q.refuse(t.unknown(id)) })
	default:
		answer(&agent, agent.Status == detector.Active || agent.Status == detector.Pending)
	}
}

func (t *table) unknown(id detector.AgentID) *refusal {
	return &refusal{notFound, fmt.Sprintf("agent %v is not known to node %s", id, t.cfg.Node)}
}

func (t *table) ping(q *question) {
	want, err := parsePing(q.Data)
	if err != nil {
		q.refuse(&refusal{badRequest, err.Error()})
		return
	}
	t.about(q, want.id, func(agent *detector.Record, here bool) {
		switch {
		case !here:
			t.hold(t.absent, q, func() {
				q.refuse(&refusal{conflict, fmt.Sprintf("agent %v is %v", want.id, agent.Status)})
			})
		case !t.pings.Allow():
			q.refuse(&refusal{tooMany, fmt.Sprintf("more than %d pings a second: try again in a second", pingRate)})
		default:
			t.later(t.pinging, q, func() { t.ask(q, want, agent) })
		}
	})
}

// ask waits for what becomes of a ping.
func (t *table) ask(q *question, want pingRequest, agent *detector.Record) {
	ctx, cancel := context.WithTimeout(t.ctx, want.timeout)
	defer cancel()
	got, err := t.cfg.Fleet.Ping(ctx, want.id)
	switch {
	case err == nil:
		q.answer(pong{Node: t.cfg.Node, ID: want.id.String(), Name: agent.Name,
			SentAt: view.WallTime(got.SentAt, t.cfg.Clock), RTT: view.ToMilliseconds(got.RTT)})
	case t.ctx.Err() != nil || errors.Is(err, detector.ErrEnded):
		q.refuse(errEnding)
	case errors.Is(err, detector.ErrUnknownAgent): // removed since it was looked up
		q.refuse(t.unknown(want.id))
	case errors.Is(err, context.DeadlineExceeded):
		q.refuse(&refusal{timedOut, fmt.Sprintf("agent %v did not answer within %v", want.id, want.timeout)})
	case errors.Is(err, detector.ErrUnanswered):
		q.refuse(&refusal{timedOut, fmt.Sprintf("agent %v: %v", want.id, err)})
	default: // there is no asking it
		q.refuse(&refusal{conflict, fmt.Sprintf("agent %v: %v", want.id, err)})
	}
}
