package natsserver

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// The streams that readers may read: two that the owner makes, and two of key-value
// buckets, made by their roles.
const (
	StatusStream    = "STATUS"
	TelemetryStream = "TELEMETRY"
	RosterStream    = "KV_PULSE_AGENTS"
	keysStream      = "KV_PULSE_KEYS"
)

var readableStreams = []string{StatusStream, TelemetryStream, RosterStream, keysStream}

// The consumers of the owner have fixed names, which readers may not use.
const (
	ForwardConsumer = "pulse-forward"
	LastConsumer    = "pulse-last"
	RosterConsumer  = "pulse-roster"
	OCSFConsumer    = "pulse-ocsf"
)

// OwnConsumers are the names of all of them.
var OwnConsumers = []string{ForwardConsumer, LastConsumer, RosterConsumer, OCSFConsumer}

// Role is one of the users in the account of the streams.
type Role uint8

const (
	Owner   Role = iota // may do everything
	Service             // answers the requests of the micro service
	Roster              // writes the bucket of agents
	Keys                // writes the bucket of public keys

	roles
)

// String returns the name of the role's connection.
func (r Role) String() string {
	return [roles]string{"pulse", "pulse questions", "pulse roster", "pulse keys"}[r]
}

// rightsOf returns the rights of a role; nil for all.
func rightsOf(r Role) *server.Permissions {
	switch r {
	case Service:
		return serviceRights()
	case Roster:
		return bucketRights(RosterStream)
	case Keys:
		return bucketRights(keysStream)
	}
	return nil
}

// user is the user of a role.
type user struct {
	key    nkeys.KeyPair
	name   string              // its public key
	rights *server.Permissions // nil for all
}

func newUser(rights *server.Permissions) (*user, error) {
	u := &user{rights: rights}
	var err error
	if u.key, err = nkeys.CreateUser(); err == nil {
		u.name, err = u.key.PublicKey()
	}
	if err != nil {
		return nil, fmt.Errorf("create key for the embedded server: %w", err)
	}
	return u, nil
}

// serviceSubjects are those of the micro service: its endpoints, and by what it is found.
var serviceSubjects = []string{"pulse.>", "$SRV.>"}

// serviceRights are those of the micro service: to receive requests, and to answer
// them. Readers' requests have a reply address that the server made up.
func serviceRights() *server.Permissions {
	return &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: serviceSubjects},
		Publish:   &server.SubjectPermission{Allow: []string{"_R_.>"}},
	}
}

// bucketRights are those to make a bucket, to forbid roll-ups, and to read and write its keys.
func bucketRights(stream string) *server.Permissions {
	keys := "$KV." + strings.TrimPrefix(stream, "KV_") + ".*"
	return &server.Permissions{
		Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX.>"}},
		Publish: &server.SubjectPermission{Allow: []string{keys, "$JS.API.DIRECT.GET." + stream + "." + keys,
			"$JS.API.STREAM.INFO." + stream, "$JS.API.STREAM.CREATE." + stream, "$JS.API.STREAM.UPDATE." + stream}},
	}
}

// readerName is the user of a client without credentials. It has no password, which
// would be one secret more to keep.
const readerName = "reader"

// readerRights are the rights of a client without credentials: it may receive
// every message, live or from the streams, through pull consumers of its own.
// It may publish nothing but requests, to JetStream and to the micro service. Push
// consumers are refused (see [consumerProxy]).
//
// All such clients are one user. What one of them can do to another: send it an
// answer, or an old message, under any subject, even a live one (never stored,
// and no signature of ours covers that subject at that time: who reads live must
// verify and refuse replays); take from its durable consumer or acknowledge for
// it. Of the connections and consumers, one address has its share. Where that
// matters, let the XDR platform have a NATS server with users of its own.
func readerRights(prefix string) *server.Permissions {
	publish, deny := slices.Clone(serviceSubjects), []string(nil)
	for _, r := range readerRequests() {
		publish = append(publish, r.subject)
	}
	for _, stream := range readableStreams {
		for _, name := range OwnConsumers {
			deny = append(deny, "$JS.API.CONSUMER.MSG.NEXT."+stream+"."+name)
		}
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish, Deny: deny},
		Subscribe: &server.SubjectPermission{Allow: []string{prefix + ".>", "_INBOX.>"}},
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

const apiPrefix = "$JS.API."

// readerRequest is a JetStream request that readers may make.
type readerRequest struct {
	subject  string
	streamed bool // one request has many answers
	proxied  bool // the [consumerProxy] answers it
}

// target is the subject under which the request arrives in the account of the streams.
func (r readerRequest) target() string {
	if r.proxied {
		return proxyPrefix + strings.TrimPrefix(r.subject, apiPrefix)
	}
	return r.subject
}

// readerRequests returns all requests that readers may make, which are those that
// reading the streams takes. CONSUMER.DELETE is not among them: it may be another's
// consumer, and unused ones are removed anyway.
func readerRequests() []readerRequest {
	requests := []readerRequest{
		{subject: "$JS.API.INFO"},
		{subject: "$JS.API.STREAM.NAMES"},
		{subject: "$JS.API.STREAM.LIST"},
	}
	for _, stream := range readableStreams {
		for _, r := range []readerRequest{
			{subject: "$JS.API.STREAM.INFO.{}"},
			{subject: "$JS.API.STREAM.MSG.GET.{}"},
			{subject: "$JS.API.DIRECT.GET.{}", streamed: true},
			{subject: "$JS.API.DIRECT.GET.{}.>", streamed: true},
			{subject: "$JS.API.CONSUMER.NAMES.{}"},
			{subject: "$JS.API.CONSUMER.LIST.{}"},
			{subject: "$JS.API.CONSUMER.INFO.{}.*"},
			{subject: "$JS.API.CONSUMER.MSG.NEXT.{}.*", streamed: true},
			{subject: "$JS.API.CONSUMER.CREATE.{}", proxied: true},
			{subject: "$JS.API.CONSUMER.CREATE.{}.>", proxied: true},
			{subject: "$JS.API.CONSUMER.DURABLE.CREATE.{}.*", proxied: true},
			{subject: "$JS.ACK.{}.>"},
		} {
			r.subject = strings.Replace(r.subject, "{}", stream, 1)
			requests = append(requests, r)
		}
	}
	return requests
}

// proxyPrefix stands before the name of a request that the [consumerProxy] answers.
const proxyPrefix = "$PULSE.GATE."

// answerTime is how long the server keeps to which reader the answer to a request of
// the micro service goes, and so what a flood of requests that are dropped costs. The
// longest that an answer may take is 10 s.
const answerTime = 12 * time.Second

// newAccounts makes the two accounts of the embedded server. Ours holds the streams
// and all that is published. The readers' has nothing of its own: it imports, one way,
// the live subjects, the requests of [readerRequests], and those of the micro service.
// An answer to a request goes to an address that the server made up, and from there to
// the reply subject in the readers' account. So whatever reply subject a reader names,
// no stream of ours ever receives the answer.
func newAccounts(prefix string) (ours, readers *server.Account, err error) {
	ours, readers = server.NewAccount(server.DEFAULT_GLOBAL_ACCOUNT), server.NewAccount("READERS")
	only := []*server.Account{readers}
	share := func(subject string, steps ...error) {
		if failed := errors.Join(steps...); failed != nil {
			err = errors.Join(err, fmt.Errorf("export %s to readers: %w", subject, failed))
		}
	}
	live := prefix + ".>"
	share(live, ours.AddStreamExport(live, only), readers.AddStreamImport(ours, live, ""))
	for _, r := range readerRequests() {
		answers := server.Singleton
		if r.streamed {
			answers = server.Streamed
		}
		share(r.subject, ours.AddServiceExportWithResponse(r.target(), answers, only), readers.AddServiceImport(ours, r.subject, r.target()))
		if r.proxied { // the proxy has to know whose request it is
			share(r.subject, readers.SetServiceImportSharing(ours, r.target(), true))
		}
	}
	for _, subject := range serviceSubjects {
		share(subject, ours.AddServiceExportWithResponse(subject, server.Singleton, only), ours.SetServiceExportResponseThreshold(subject, answerTime),
			readers.AddServiceImport(ours, subject, subject))
	}
	return ours, readers, err
}
