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

// The codes of refusals, which are those of HTTP.
const (
	badRequest  = 400
	notFound    = 404
	conflict    = 409
	tooMany     = 429
	unavailable = 503
	timedOut    = 504
)

// refusal is an error as an answer.
type refusal struct {
	code int
	text string
}

var errEnding = &refusal{unavailable, "the node is stopping"}

// request is a request, which gets exactly one answer.
type request struct {
	*nats.Msg
	nc         *nats.Conn
	own        bool // received on the node's own subject
	stats      *endpointStats
	seal       Seal
	receivedAt time.Time
}

// hasInboxReply reports whether a request may be answered: its reply subject must
// be an inbox. The client chooses the reply subject, and the answer is
// published with our rights: it must not become a message on another subject,
// such as a status change or a JetStream command.
func (c *connection) hasInboxReply(m *nats.Msg) bool {
	if strings.HasPrefix(m.Reply, "_") {
		return true
	}
	if m.Reply != "" {
		c.warnings.logNoInbox(m.Reply)
	}
	return false
}

func (q *request) sendAnswer(v any) {
	data, err := json.Marshal(v)
	if err != nil {
		panic("query: an answer that is no JSON: " + err.Error()) // unreachable: structs of strings and finite numbers
	}
	m := &nats.Msg{Data: data}
	if q.seal != nil {
		if m.Data, m.Header, err = q.seal(Request{q.Subject, q.Header, q.Data}, data); err != nil {
			q.sendRefusal(&refusal{unavailable, "the answer cannot be encrypted"})
			return
		}
	}
	if limit := q.nc.MaxPayload(); int64(m.Size()) > limit {
		q.sendRefusal(&refusal{unavailable, fmt.Sprintf("the answer has %d bytes, and the NATS server takes %d", m.Size(), limit)})
		return
	}
	q.stats.countAnswer(nil, time.Since(q.receivedAt))
	_ = q.RespondMsg(m) // an error means that the connection is gone
}

// sendRefusal answers with an error, in micro's headers.
func (q *request) sendRefusal(r *refusal) {
	q.stats.countAnswer(r, time.Since(q.receivedAt))
	_ = q.RespondMsg(&nats.Msg{Header: nats.Header{micro.ErrorHeader: []string{r.text}, micro.ErrorCodeHeader: []string{strconv.Itoa(r.code)}}})
}
