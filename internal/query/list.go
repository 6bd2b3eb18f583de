package query

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/view"
)

// listing answers a list: some of the agents that match, by their numbers.
type listing struct {
	Node   string            `json:"node"`
	Total  int               `json:"total"` // agents that match, on all pages
	Agents []json.RawMessage `json:"agents"`
	Next   string            `json:"next,omitempty"` // there are more behind this one
}

func (t *table) list(q *question) {
	want, err := parseList(q.Data)
	if err != nil {
		q.refuse(&refusal{badRequest, err.Error()})
		return
	}
	t.later(t.lists, q, func() {
		var total int
		var found []detector.Record
		if !t.inTurn(t.scans, func() { total, found = t.find(&want) }) { // the detector may have ended in between
			q.refuse(errEnding)
			return
		}
		t.answerList(q, &want, total, found)
	})
}

// find counts the agents that match, and returns those of a page, with one more
// if there are more.
func (t *table) find(want *listRequest) (total int, found []detector.Record) {
	enough, last := want.limit+1, detector.MaxAgentID
	for n, more := 0, true; more && t.ctx.Err() == nil; n++ {
		var page []detector.Record
		page, more = t.cfg.Fleet.Page(n)
		for i := range page {
			if !want.matches(&page[i]) {
				continue
			}
			total++
			if id := page[i].ID; id > want.after && id <= last {
				found = append(found, page[i])
			}
		}
		if len(found) > enough {
			slices.SortFunc(found, byID)
			found = found[:enough]
			last = found[enough-1].ID
		}
	}
	slices.SortFunc(found, byID)
	return total, found
}

func byID(a, b detector.Record) int { return cmp.Compare(a.ID, b.ID) }

// sealRoom is what the headers and the recipients of a sealed answer take at most.
const sealRoom = 32 << 10

// room is how long an answer may be: a sealed one is sent as base64, and with
// more around it.
func (t *table) room(nc *nats.Conn) int {
	most := int(nc.MaxPayload())
	if t.cfg.Seal == nil {
		return most
	}
	return max(most-sealRoom, most/2) / 4 * 3
}

// answerList answers with as many of the found as the request wants, and as
// the server takes in one message.
func (t *table) answerList(q *question, want *listRequest, total int, found []detector.Record) {
	page := listing{Node: t.cfg.Node, Total: total, Agents: []json.RawMessage{}, Next: detector.MaxAgentID.String()}
	frame, _ := json.Marshal(page)
	left := t.room(q.nc) - len(frame)
	page.Next = ""
	for i := range found {
		text, _ := json.Marshal(view.NewAgent(&found[i], t.cfg.Clock))
		left -= len(text) + len(",")
		if i > 0 && (i == want.limit || left < 0) {
			page.Next = found[i-1].ID.String()
			break
		}
		page.Agents = append(page.Agents, text)
	}
	q.answer(page)
}
