package provision

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/wazuh-pulse/pulse/event"
)

const (
	statusStream    = "STATUS"
	telemetryStream = "TELEMETRY"
	agentsStream    = "KV_" + event.AgentsBucket
	keysBucket      = "PULSE_KEYS" // of the nodes' public keys, each under its node's name
	keysStream      = "KV_" + keysBucket
)

// answerTime is how long a node may take for the answer to a question. The
// longest that it takes is 10 s.
const answerTime = 12 * time.Second

// followed are the streams that each reader has a consumer of.
var followed = []string{statusStream, telemetryStream, agentsStream}

// readable are the streams that readers may read.
var readable = append(slices.Clone(followed), keysStream)

// service is a request that one account may make in another.
type service struct {
	subject  string
	streamed bool          // one request has many answers
	within   time.Duration // how long the server knows where answers go; 0 for its own default, 2 min
}

// told are the kinds of messages that nodes publish. Each is a request, which the
// stream that takes it answers with its acknowledgement.
func told(prefix event.Prefix) []service {
	return []service{
		{subject: prefix.StatusChanges()},
		{subject: string(prefix) + ".alerts.*"},
		{subject: prefix.KeepAlive("*")},
		{subject: prefix.ManagerStatus("*")},
	}
}

// keptByNodes is what keeping the buckets takes: writing keys, and reading them.
// Nodes do not make the buckets: who may make one says what goes into it.
func keptByNodes() (list []service) {
	list = []service{{subject: "$KV." + event.AgentsBucket + ".*"}, {subject: "$KV." + keysBucket + ".>"}}
	for _, stream := range []string{agentsStream, keysStream} {
		list = append(list, service{subject: "$JS.API.STREAM.INFO." + stream},
			service{subject: "$JS.API.DIRECT.GET." + stream + ".>", streamed: true})
	}
	return list
}

// learnt is how clients find out which streams there are, and what these take.
// An account that does not import the first has the server itself answer all such
// requests: that there is no JetStream.
var learnt = []service{{subject: "$JS.API.INFO"}, {subject: "$JS.API.STREAM.LIST"}}

// readByReaders is what reading the streams takes, without making consumers.
func readByReaders() []service {
	list := append(slices.Clone(learnt), service{subject: "$JS.API.STREAM.NAMES"})
	for _, stream := range readable {
		list = append(list,
			service{subject: "$JS.API.STREAM.INFO." + stream},
			service{subject: "$JS.API.STREAM.MSG.GET." + stream},
			service{subject: "$JS.API.DIRECT.GET." + stream, streamed: true},
			service{subject: "$JS.API.DIRECT.GET." + stream + ".>", streamed: true})
	}
	for _, stream := range followed {
		list = append(list,
			service{subject: "$JS.API.CONSUMER.INFO." + stream + ".*"},
			service{subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + ".*", streamed: true},
			service{subject: "$JS.ACK." + stream + ".>"})
	}
	return list
}

// asked are the questions to the micro service, and by what it is found. Every
// node may answer.
func asked() (list []service) {
	for _, subject := range []string{"pulse.agents.*", "pulse.status", "pulse.*.agents.*", "pulse.*.status"} {
		list = append(list, service{subject, true, answerTime})
	}
	for _, verb := range found {
		list = append(list, service{verb, true, answerTime}, service{verb + ".>", true, answerTime})
	}
	return list
}

var found = []string{"$SRV.PING", "$SRV.INFO", "$SRV.STATS"}

// presence is where nodes of one name find each other.
func presence(node string) string { return "pulse." + node + ".presence" }

// nodeRights are those of one node: its kinds of messages, the heartbeat of its
// own alone, the questions to all nodes and to it, and to find another of its name.
func nodeRights(prefix event.Prefix, node string) jwt.Permissions {
	var p jwt.Permissions
	p.Pub.Allow.Add(prefix.StatusChanges(), string(prefix)+".alerts.*", prefix.KeepAlive("*"), prefix.ManagerStatus(node),
		"$JS.API.INFO", "$JS.API.STREAM.LIST", "$KV."+event.AgentsBucket+".*", "$KV."+keysBucket+"."+node, "$KV."+keysBucket+"."+node+".>", presence(node))
	for _, s := range keptByNodes() {
		if strings.HasPrefix(s.subject, "$JS.API.") {
			p.Pub.Allow.Add(s.subject)
		}
	}
	p.Sub.Allow.Add("_INBOX."+node+".>", "pulse.agents.*", "pulse.status", "pulse."+node+".agents.*", "pulse."+node+".status", presence(node))
	for _, verb := range found {
		p.Sub.Allow.Add(verb, verb+".pulse", verb+".pulse.*")
	}
	p.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: answerTime}
	return p
}

// readerRights are those of one reader: to hear all, to read the streams by
// themselves or through its own consumers, and to ask.
func readerRights(prefix event.Prefix, reader string) jwt.Permissions {
	var p jwt.Permissions
	for _, s := range readByReaders() {
		switch subject := s.subject; {
		case strings.HasPrefix(subject, "$JS.API.CONSUMER."):
			p.Pub.Allow.Add(strings.TrimSuffix(subject, "*") + reader)
		case strings.HasPrefix(subject, "$JS.ACK."):
			p.Pub.Allow.Add(strings.TrimSuffix(subject, ">") + reader + ".>")
		default:
			p.Pub.Allow.Add(subject)
		}
	}
	for _, s := range asked() {
		p.Pub.Allow.Add(s.subject)
	}
	p.Sub.Allow.Add(prefix.All(), "_INBOX.>")
	return p
}

// adminRights are those of who keeps the streams, and publishes nothing.
func adminRights(prefix event.Prefix) jwt.Permissions {
	var p jwt.Permissions
	p.Pub.Allow.Add("$JS.API.>", "$JS.ACK.>")
	p.Sub.Allow.Add(prefix.All(), "_INBOX.>")
	return p
}
