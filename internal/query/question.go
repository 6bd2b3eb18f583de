package query

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

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

// question is a request that gets exactly one answer.
type question struct {
	*nats.Msg
	nc    *nats.Conn
	own   bool // on the node's own subject
	tally *tally
	seal  Seal
	asked time.Time
}

// answerable reports whether a request is answered: only one that names an
// inbox is. Who asks chooses where the answer goes, and it goes there with our
// rights: it must not become a message on any other subject, such as a status
// change or a JetStream command.
func (t *table) answerable(m *nats.Msg) bool {
	if strings.HasPrefix(m.Reply, "_") {
		return true
	}
	if m.Reply != "" {
		t.said.noInbox(m.Reply)
	}
	return false
}

// answer answers with a value.
func (q *question) answer(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic("query: an answer that is no JSON: " + err.Error()) // plain structs of text and finite numbers
	}
	m := &nats.Msg{Data: data}
	if q.seal != nil {
		if m.Data, m.Header, err = q.seal(Request{q.Subject, q.Header, q.Data}, data); err != nil {
			q.refuse(&refusal{unavailable, "the answer cannot be encrypted"})
			return
		}
	}
	if limit := q.nc.MaxPayload(); int64(m.Size()) > limit {
		q.refuse(&refusal{unavailable, fmt.Sprintf("the answer has %d bytes, and the NATS server takes %d", m.Size(), limit)})
		return
	}
	q.tally.add(nil, time.Since(q.asked))
	_ = q.RespondMsg(m) // where it does not get through, nobody is left to be told
}

// refuse answers with an error, by micro's headers.
func (q *question) refuse(r *refusal) {
	q.tally.add(r, time.Since(q.asked))
	_ = q.RespondMsg(&nats.Msg{Header: nats.Header{micro.ErrorHeader: []string{r.text}, micro.ErrorCodeHeader: []string{strconv.Itoa(r.code)}}})
}
