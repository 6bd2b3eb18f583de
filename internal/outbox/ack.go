package outbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ack is what the remote answered to a message.
type ack struct {
	number    uint64 // of the sending
	kind      int    // of the subject, by the sender's list
	stream    string // which has the message
	duplicate bool   // the stream had a message of that ID
	err       error  // why it has not
}

// errNoStream says that nobody at the remote answers for a subject.
var errNoStream = errors.New("no stream of the NATS server takes this subject at present")

// errBadAck says that an answer is no acknowledgement.
var errBadAck = errors.New("the NATS server answered with something that is no acknowledgement")

// readAck reads an answer of the remote. ok is false if it is not about one of our messages.
func readAck(inbox string, m *nats.Msg) (a ack, ok bool) {
	token, ok := strings.CutPrefix(m.Subject, inbox+".")
	kind, number, two := strings.Cut(token, "-")
	if !ok || !two {
		return a, false
	}
	k, kindErr := strconv.ParseUint(kind, 36, 16)
	n, numberErr := strconv.ParseUint(number, 36, 64)
	if kindErr != nil || numberErr != nil {
		return a, false
	}
	a.number, a.kind = n, int(k)
	if len(m.Data) == 0 && m.Header.Get("Status") == "503" {
		a.err = errNoStream
		return a, true
	}
	var body struct {
		Stream    string `json:"stream"`
		Sequence  uint64 `json:"seq"`
		Duplicate bool   `json:"duplicate"`

		Error *jetstream.APIError `json:"error"`
	}
	switch err := json.Unmarshal(m.Data, &body); {
	case err != nil:
		a.err = fmt.Errorf("%w: %.40q", errBadAck, m.Data)
	case body.Error != nil:
		a.err = body.Error
	case body.Stream == "" || body.Sequence == 0:
		a.err = fmt.Errorf("%w: %.40q", errBadAck, m.Data)
	default:
		a.stream, a.duplicate = body.Stream, body.Duplicate
	}
	return a, true
}

// ackSubject is where the answer to a message goes.
func ackSubject(inbox string, kind int, number uint64) string {
	b := make([]byte, 0, len(inbox)+20)
	b = append(b, inbox...)
	b = append(b, '.')
	b = strconv.AppendUint(b, uint64(kind), 36)
	b = append(b, '-')
	b = strconv.AppendUint(b, number, 36)
	return string(b)
}

// messageTooLarge is JetStream's error code for a message beyond the stream's own limit.
const messageTooLarge jetstream.ErrorCode = 10054

func exceedsMaximum(err error) bool {
	api, ok := errors.AsType[*jetstream.APIError](err)
	return ok && api.ErrorCode == messageTooLarge
}
