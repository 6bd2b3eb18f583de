package query

import (
	"encoding/json"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
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

func (c *connection) handleListRequest(q *request, want listRequest) {
	c.runLater(c.lists, q, func() {
		var total int
		var found []view.Listed
		var err error
		want.Nodes = view.MatchNodes(c.cfg.Fleet, c.cfg.Node, want.node)
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
		text, _ := json.Marshal(view.NewAgent(c.cfg.Fleet, &found[i].Record, c.cfg.Clock))
		left -= len(text) + len(",")
		if i > 0 && (i == want.limit || left < 0) {
			page.Next = found[i-1].ID.String()
			break
		}
		page.Agents = append(page.Agents, text)
	}
	q.sendAnswer(page)
}

// silencesAnswer is the answer to agents.silences: a page of the silences that are not
// over. They can only be read here: who may ask needs no right to hold back alerts.
type silencesAnswer struct {
	Node     string            `json:"node"`
	Total    int               `json:"total"` // on all pages
	Active   int               `json:"active"`
	Agents   int               `json:"agents_silenced"`
	Silences []json.RawMessage `json:"silences"`
	Next     string            `json:"next,omitempty"` // the last ID of this page, if there are more
}

type silencesRequest struct {
	limit int
	after string
}

func parseSilencesRequest(data []byte) (silencesRequest, error) {
	r := silencesRequest{limit: defaultLimit}
	err := parseRequest(data, map[string]field{
		"limit": intField(1, maxLimit, &r.limit),
		"after": stringField("the id of a silence", func(s string) error { r.after = s; return nil }),
	})
	return r, err
}

func (c *connection) handleSilencesRequest(q *request, want silencesRequest) {
	c.runLater(c.lists, q, func() { q.sendAnswer(c.newSilencesPage(q.nc, &want)) })
}

// newSilencesPage returns as many silences as the request asks for and the server accepts
// in one message.
func (c *connection) newSilencesPage(nc *nats.Conn, want *silencesRequest) silencesAnswer {
	list := c.cfg.Silences()
	present := slices.DeleteFunc(list.Silences, func(s silence.Shown) bool { return s.State == silence.Over })
	page := silencesAnswer{Node: c.cfg.Node, Total: len(present), Active: list.Active, Agents: list.Agents, Silences: []json.RawMessage{}}
	if i := slices.IndexFunc(present, func(s silence.Shown) bool { return s.ID == want.after }); i >= 0 {
		present = present[i+1:]
	}
	frame, _ := json.Marshal(page)
	left := c.maxAnswerSize(nc) - len(frame) - maxNameLength // of next
	for i := range present {
		text, _ := json.Marshal(&present[i])
		left -= len(text) + len(",")
		if i > 0 && (i == want.limit || left < 0) {
			page.Next = present[i-1].ID
			break
		}
		page.Silences = append(page.Silences, text)
	}
	return page
}
