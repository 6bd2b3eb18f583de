package query

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
)

// The codes of refusals, as HTTP has them.
const (
	badRequest  = 400
	notFound    = 404
	conflict    = 409
	tooMany     = 429
	unavailable = 503
	timedOut    = 504
)

// refusal is an answer that says why there is no better one.
type refusal struct {
	code int
	text string
}

var errEnding = &refusal{unavailable, "the node is stopping"}

// question is a request that wants an answer.
type question struct {
	micro.Request
	nc   *nats.Conn
	own  bool // on the node's own subject
	late bool // the handler has returned, and micro's request is not to be touched
}

// question returns nil for what is not answered: a request that names no inbox
// to answer to. Who asks chooses where the answer goes, and it goes there with our
// rights: it must not be a message on any other subject, such as a JetStream command.
func (t *table) question(r micro.Request, own bool) *question {
	if !strings.HasPrefix(r.Reply(), "_") {
		if r.Reply() != "" {
			t.said.noInbox(r.Reply())
		}
		return nil
	}
	return &question{Request: r, nc: t.nc, own: own}
}

// answer answers with a value.
func (q *question) answer(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic("query: an answer that is no JSON: " + err.Error()) // plain structs of text and finite numbers
	}
	q.send(data)
}

// send answers with JSON. Where it does not get through, nobody is left to be told.
func (q *question) send(data []byte) {
	if limit := q.nc.MaxPayload(); int64(len(data)) > limit {
		q.refuse(&refusal{unavailable, fmt.Sprintf("the answer has %d bytes, and the NATS server takes %d", len(data), limit)})
		return
	}
	if q.late {
		_ = q.nc.Publish(q.Reply(), data)
		return
	}
	_ = q.Respond(data)
}

// refuse answers with an error, by micro's headers.
func (q *question) refuse(r *refusal) {
	code := strconv.Itoa(r.code)
	if !q.late {
		_ = q.Error(code, r.text, nil)
		return
	}
	_ = q.nc.PublishMsg(&nats.Msg{Subject: q.Reply(),
		Header: nats.Header{micro.ErrorHeader: []string{r.text}, micro.ErrorCodeHeader: []string{code}}})
}
