package query

import (
	"encoding/json"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

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

func (c *connection) handleSilencesRequest(q *request) {
	want, err := parseSilencesRequest(q.Data)
	if err != nil {
		q.sendRefusal(&refusal{badRequest, err.Error()})
		return
	}
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
