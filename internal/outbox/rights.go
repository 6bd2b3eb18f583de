package outbox

import (
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// readerRights are the rights of a client without credentials: it may receive
// every message and read both streams, with consumers of its own. It may not
// publish messages, nor delete, purge or change a stream, nor delete a consumer
// (which may be another's; its own ephemeral ones go by themselves).
//
// A limit of one account: JetStream answers to whatever reply subject a request
// names, and a push consumer delivers where it is told. A client can so make the
// server itself put an answer, or an old message, under PREFIX, and the streams
// take it. The body is at most partly the client's own, and no signature of ours covers
// that subject: whoever reads the streams must verify, Last's callers too.
func readerRights(prefix string) *server.Permissions {
	publish := []string{
		"$JS.API.INFO",
		"$JS.API.STREAM.NAMES",
		"$JS.API.STREAM.LIST",
	}
	for c := range Class(classes) {
		for _, request := range []string{
			"STREAM.INFO.NAME",
			"STREAM.MSG.GET.NAME",
			"DIRECT.GET.NAME",
			"DIRECT.GET.NAME.>",
			"CONSUMER.NAMES.NAME",
			"CONSUMER.LIST.NAME",
			"CONSUMER.INFO.NAME.*",
			"CONSUMER.CREATE.NAME",
			"CONSUMER.CREATE.NAME.>",
			"CONSUMER.DURABLE.CREATE.NAME.*",
			"CONSUMER.MSG.NEXT.NAME.*",
		} {
			publish = append(publish, "$JS.API."+withName(request, c))
		}
		publish = append(publish, withName("$JS.ACK.NAME.>", c), withName("$JS.FC.NAME.>", c))
	}
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Allow: publish},
		Subscribe: &server.SubjectPermission{Allow: []string{prefix + ".>", "_INBOX.>"}},
	}
}

func withName(subject string, c Class) string {
	return strings.Replace(subject, "NAME", c.String(), 1)
}
