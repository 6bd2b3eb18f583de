package query

import (
	"encoding/json"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// listAnswer is the answer to agents.list: a page of the agents that match, by
// ID.
type listAnswer struct {
	Node   string            `json:"node"`
	Total  int               `json:"total"` // agents that match, on all pages
	Agents []json.RawMessage `json:"agents"`
	Next   string            `json:"next,omitempty"` // the last ID of this page, if there are more
}

func (c *connection) handleListRequest(q *request) {
	want, err := parseListRequest(q.Data)
	if err != nil {
		q.sendRefusal(&refusal{badRequest, err.Error()})
		return
	}
	c.runLater(c.lists, q, func() {
		var total int
		var found []view.Listed
		var err error
		if !c.runInTurn(c.scans, func() {
			total, found, err = view.ListAgents(c.ctx, c.cfg.Fleet, &want.Filter, view.OrderByID(want.after), want.limit+1)
		}) || err != nil { // the detector may have ended meanwhile
			q.sendRefusal(errEnding)
			return
		}
		c.answerFoundAgents(q, &want, total, found)
	})
}

// sealOverhead is the most that headers and recipients add to a sealed answer.
const sealOverhead = 32 << 10

// maxAnswerSize returns the longest answer that fits into a message: a sealed
// one is sent as base64, in an envelope.
func (c *connection) maxAnswerSize(nc *nats.Conn) int {
	most := int(nc.MaxPayload())
	if c.cfg.Seal == nil {
		return most
	}
	return max(most-sealOverhead, most/2) / 4 * 3
}

// answerFoundAgents answers with as many of the found agents as the request asks for
// and the server accepts in one message.
func (c *connection) answerFoundAgents(q *request, want *listRequest, total int, found []view.Listed) {
	page := listAnswer{Node: c.cfg.Node, Total: total, Agents: []json.RawMessage{}, Next: detector.MaxAgentID.String()}
	frame, _ := json.Marshal(page)
	left := c.maxAnswerSize(q.nc) - len(frame)
	page.Next = ""
	for i := range found {
		text, _ := json.Marshal(view.NewAgent(&found[i].Record, c.cfg.Clock))
		left -= len(text) + len(",")
		if i > 0 && (i == want.limit || left < 0) {
			page.Next = found[i-1].ID.String()
			break
		}
		page.Agents = append(page.Agents, text)
	}
	q.sendAnswer(page)
}
