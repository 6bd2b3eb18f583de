package outbox

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// readerRequest is a JetStream request that a client without credentials may make.
type readerRequest struct {
	subject  string
	streamed bool // one request has many answers
	gated    bool // it goes through the [gate]
}

// goesTo is the subject under which the request arrives in our account.
func (r readerRequest) goesTo() string {
	if r.gated {
		return gatePrefix + strings.TrimPrefix(r.subject, apiPrefix)
	}
	return r.subject
}

const apiPrefix = "$JS.API."

// RosterStream is the stream of the key-value bucket that another room may keep
// on [Outbox.Rostering], for clients to read.
const RosterStream = "KV_PULSE_AGENTS"

// keysStream is that of the bucket of public keys, on [Outbox.Announcing].
const keysStream = "KV_PULSE_KEYS"

// readable are the streams that clients may read.
var readable = []string{Status.String(), Telemetry.String(), RosterStream, keysStream}

// readerRequests is all that readers may ask, which is what reading the
// streams takes. CONSUMER.DELETE is not among them: it may be another's
// consumer, and unused ones go by themselves.
func readerRequests() []readerRequest {
	requests := []readerRequest{
		{subject: "$JS.API.INFO"},
		{subject: "$JS.API.STREAM.NAMES"},
		{subject: "$JS.API.STREAM.LIST"},
	}
	for _, stream := range readable {
		for _, r := range []readerRequest{
			{subject: "$JS.API.STREAM.INFO.NAME"},
			{subject: "$JS.API.STREAM.MSG.GET.NAME"},
			{subject: "$JS.API.DIRECT.GET.NAME", streamed: true},
			{subject: "$JS.API.DIRECT.GET.NAME.>", streamed: true},
			{subject: "$JS.API.CONSUMER.NAMES.NAME"},
			{subject: "$JS.API.CONSUMER.LIST.NAME"},
			{subject: "$JS.API.CONSUMER.INFO.NAME.*"},
			{subject: "$JS.API.CONSUMER.MSG.NEXT.NAME.*", streamed: true},
			{subject: "$JS.API.CONSUMER.CREATE.NAME", gated: true},
			{subject: "$JS.API.CONSUMER.CREATE.NAME.>", gated: true},
			{subject: "$JS.API.CONSUMER.DURABLE.CREATE.NAME.*", gated: true},
			{subject: "$JS.ACK.NAME.>"},
		} {
			r.subject = withName(r.subject, stream)
			requests = append(requests, r)
		}
	}
	return requests
}

// questions are the subjects of the micro service that may listen on
// [Outbox.Answering]: its endpoints, and by what it is found.
var questions = []string{"pulse.>", "$SRV.>"}

// serviceRights are those of the micro service: to hear questions, and to
// answer them, which readers have come to an address that the server made up.
func serviceRights() *server.Permissions {
	return &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: questions},
		Publish:   &server.SubjectPermission{Allow: []string{"_R_.>"}},
	}
}

// rosterRights are those of who keeps the bucket: to make it, to forbid roll-ups, and to read and write its keys.
func rosterRights() *server.Permissions {
	keys := "$KV." + strings.TrimPrefix(RosterStream, "KV_") + ".*"
	return &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		Publish: &server.SubjectPermission{Allow: []string{keys, "$JS.API.DIRECT.GET." + RosterStream + "." + keys,
			"$JS.API.STREAM.INFO." + RosterStream, "$JS.API.STREAM.CREATE." + RosterStream, "$JS.API.STREAM.UPDATE." + RosterStream}},
	}
}

// bulletinRights are those of who shows the public keys: to make the bucket and forbid roll-ups, and to read and write it.
func bulletinRights() *server.Permissions {
	keys := "$KV." + strings.TrimPrefix(keysStream, "KV_") + ".*"
	return &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		Publish: &server.SubjectPermission{Allow: []string{keys, "$JS.API.DIRECT.GET." + keysStream + "." + keys,
			"$JS.API.STREAM.INFO." + keysStream, "$JS.API.STREAM.CREATE." + keysStream, "$JS.API.STREAM.UPDATE." + keysStream}},
	}
}

// checkPrefix refuses a prefix whose messages a client could publish as a request.
func checkPrefix(prefix string) error {
	first, _, _ := strings.Cut(prefix, ".")
	if first == "pulse" || strings.HasPrefix(first, "$") || strings.HasPrefix(first, "_") {
		return fmt.Errorf("subject prefix %q: requests begin with %q", prefix, first)
	}
	return nil
}

// readerRights are the rights of a client without credentials: it may receive
// every message, live or from the streams, through pull consumers of its own.
// It may publish nothing but requests, to JetStream and to the micro service. Push consumers are refused (see [gate]).
//
// All such clients are one user. What one of them can do to another: show it an
// answer, or an old message, under any subject, even a live one (never stored,
// and no signature of ours covers that subject at that time: who reads live must
// verify and refuse replays); take from its durable consumer or acknowledge for
// it. Of the connections and consumers there are, one address has its share. Where that matters, let the
// XDR platform have a NATS server with users of its own, as a [remote.Remote].
func readerRights(prefix string) *server.Permissions {
	publish, deny := slices.Clone(questions), []string(nil)
	for _, r := range readerRequests() {
		publish = append(publish, r.subject)
	}
	for _, stream := range readable {
		for _, name := range ownConsumers {
			deny = append(deny, withName("$JS.API.CONSUMER.MSG.NEXT.NAME.", stream)+name)
		}
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish, Deny: deny},
		Subscribe: &server.SubjectPermission{Allow: []string{prefix + ".>", "_INBOX.>"}},
	}
}

func withName(subject, stream string) string {
	return strings.Replace(subject, "NAME", stream, 1)
}
