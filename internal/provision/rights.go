package provision

import (
	"slices"
	"strings"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/kv"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
)

const (
	statusStream    = "STATUS"
	telemetryStream = "TELEMETRY"
	agentsStream    = "KV_" + event.AgentsBucket
	keysBucket      = "PULSE_KEYS" // of the nodes' public keys, each under its node's name
	keysStream      = "KV_" + keysBucket
	clusterStream   = "KV_" + kv.ClusterBucket
	ocsfStream      = "OCSF"
)

// questionTimeout limits a node's time for the answer to a question. The longest that
// it takes is 10 s.
const questionTimeout = 12 * time.Second

// listConsumedStreams returns the streams that each reader has a consumer of.
func (s *state) listConsumedStreams() []string {
	list := []string{statusStream, telemetryStream, agentsStream}
	if s.OCSF != "" {
		list = append(list, ocsfStream)
	}
	return list
}

// service is a request that one account may make in another.
type service struct {
	subject  string
	streamed bool          // one request has many answers
	within   time.Duration // how long the server routes answers; 0 for its own default, 2 min
}

// publishedServices returns the subjects that nodes publish on. Each message is a request, which
// its stream answers with an acknowledgement.
func (s *state) publishedServices() []service {
	prefix := event.Prefix(s.Prefix)
	list := []service{
		{subject: prefix.StatusChanges()},
		{subject: string(prefix) + ".alerts.*"},
		{subject: prefix.KeepAlive("*")},
		{subject: prefix.ManagerStatus("*")},
	}
	if s.OCSF != "" {
		list = append(list, service{subject: s.OCSF + ".>"})
	}
	return list
}

// bucketServices returns the services for writing and reading keys of the buckets. Nodes do
// not make the buckets: whoever makes one decides what goes into it.
func bucketServices() (list []service) {
	list = []service{{subject: "$KV." + event.AgentsBucket + ".*"}, {subject: "$KV." + keysBucket + ".>"}}
	for _, stream := range []string{agentsStream, keysStream} {
		list = append(list, service{subject: "$JS.API.STREAM.INFO." + stream},
			service{subject: "$JS.API.DIRECT.GET." + stream + ".>", streamed: true})
	}
	return list
}

// clusterTimeout limits how long the server remembers the way of an answer about the
// cluster's records, of which there are many requests.
const clusterTimeout = 10 * time.Second

// clusterServices returns the services for writing and reading the bucket of a cluster. It is
// read as a stream, many records with one request.
func clusterServices() []service {
	return []service{{subject: "$KV." + kv.ClusterBucket + ".>"}, {subject: "$JS.API.STREAM.INFO." + clusterStream},
		{subject: "$JS.API.DIRECT.GET." + clusterStream, streamed: true, within: clusterTimeout}, {subject: "$JS.API.DIRECT.GET." + clusterStream + ".>", streamed: true}}
}

// streamQueries are the services for finding the streams and their subjects. In an
// account that does not import the first, the server itself answers all such requests
// that there is no JetStream.
var streamQueries = []service{{subject: "$JS.API.INFO"}, {subject: "$JS.API.STREAM.LIST"}}

// streamReaderServices returns the services for reading the streams, without making consumers.
func (s *state) streamReaderServices() []service {
	consumed := s.listConsumedStreams()
	list := append(slices.Clone(streamQueries), service{subject: "$JS.API.STREAM.NAMES"})
	for _, stream := range append(slices.Clone(consumed), keysStream) {
		list = append(list,
			service{subject: "$JS.API.STREAM.INFO." + stream},
			service{subject: "$JS.API.STREAM.MSG.GET." + stream},
			service{subject: "$JS.API.DIRECT.GET." + stream, streamed: true},
			service{subject: "$JS.API.DIRECT.GET." + stream + ".>", streamed: true})
	}
	for _, stream := range consumed {
		list = append(list,
			service{subject: "$JS.API.CONSUMER.INFO." + stream + ".*"},
			service{subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + ".*", streamed: true},
			service{subject: "$JS.ACK." + stream + ".>"})
	}
	return list
}

// agentQuestionServices returns the services of the micro service, and those for its discovery.
// Every node may answer.
func agentQuestionServices() (list []service) {
	for _, subject := range []string{"pulse.agents.*", "pulse.status", "pulse.nodes", "pulse.*.agents.*", "pulse.*.status", "pulse.*.nodes"} {
		list = append(list, service{subject, true, questionTimeout})
	}
	for _, verb := range discoverySubjects {
		list = append(list, service{verb, true, questionTimeout}, service{verb + ".>", true, questionTimeout})
	}
	return list
}

var discoverySubjects = []string{"$SRV.PING", "$SRV.INFO", "$SRV.STATS"}

// presenceSubject returns the subject by which nodes of one name detect each other.
func presenceSubject(node string) string { return "pulse." + node + ".presence" }

// clusterSubject returns the subject by which a node announces what it has stored in the
// cluster's bucket.
func clusterSubject(node string) string { return "pulse." + node + ".cluster" }

// nodeRights returns the rights of a node: its kinds of messages, its own heartbeat
// alone, questions to all nodes and to it, and the detection of another node of its name.
//
// It writes its own last will alone. In a cluster it also writes its own keys of the
// cluster's bucket, and reads all. Its OCSF events are below its own name. In a setup with leaf
// nodes its requests and values may name the domain.
func (s *state) nodeRights(node string) jwt.Permissions {
	var p jwt.Permissions
	prefix := event.Prefix(s.Prefix)
	if s.OCSF != "" {
		p.Pub.Allow.Add(s.OCSF + "." + node + ".>")
	}
	p.Pub.Allow.Add(prefix.StatusChanges(), string(prefix)+".alerts.*", prefix.KeepAlive("*"), prefix.ManagerStatus(node),
		"$JS.API.INFO", "$JS.API.STREAM.LIST", "$KV."+event.AgentsBucket+".*", "$KV."+keysBucket+"."+node, "$KV."+keysBucket+"."+node+".>", presenceSubject(node),
		lastwill.Subject(node))
	for _, s := range bucketServices() {
		if strings.HasPrefix(s.subject, "$JS.API.") {
			p.Pub.Allow.Add(s.subject)
		}
	}
	p.Sub.Allow.Add("_INBOX."+node+".>", "pulse.agents.*", "pulse.status", "pulse."+node+".agents.*", "pulse."+node+".status", presenceSubject(node))
	for _, verb := range discoverySubjects {
		p.Sub.Allow.Add(verb, verb+".pulse", verb+".pulse.*")
	}
	if s.Cluster != "" {
		for _, s := range clusterServices() {
			if strings.HasPrefix(s.subject, "$JS.API.") {
				p.Pub.Allow.Add(s.subject)
			}
		}
		p.Pub.Allow.Add("$KV."+kv.ClusterBucket+"."+node+".>", clusterSubject(node))
		p.Sub.Allow.Add(clusterSubject("*"), "pulse.nodes", "pulse."+node+".nodes")
	}
	for _, subject := range slices.Clone(p.Pub.Allow) {
		p.Pub.Allow.Add(s.domain().Subject(subject)) // the same one is there already
	}
	p.Resp = &jwt.ResponsePermission{MaxMsgs: 1, Expires: questionTimeout}
	return p
}

// readerRights returns the rights of a reader: to subscribe to all messages, to read the
// streams directly or through its own consumers, and to send questions.
func (s *state) readerRights(reader string) jwt.Permissions {
	var p jwt.Permissions
	for _, of := range s.streamReaderServices() {
		switch subject := of.subject; {
		case strings.HasPrefix(subject, "$JS.API.CONSUMER."):
			p.Pub.Allow.Add(strings.TrimSuffix(subject, "*") + reader)
		case strings.HasPrefix(subject, "$JS.ACK."):
			p.Pub.Allow.Add(strings.TrimSuffix(subject, ">") + reader + ".>")
		default:
			p.Pub.Allow.Add(subject)
		}
	}
	for _, of := range agentQuestionServices() {
		p.Pub.Allow.Add(of.subject)
	}
	p.Sub.Allow.Add(event.Prefix(s.Prefix).All(), "_INBOX.>")
	if s.OCSF != "" {
		p.Sub.Allow.Add(s.OCSF + ".>")
	}
	return p
}

// streamAdminRights returns the rights of the administrator of the streams, who publishes nothing.
func streamAdminRights(prefix event.Prefix) jwt.Permissions {
	var p jwt.Permissions
	p.Pub.Allow.Add("$JS.API.>", "$JS.ACK.>")
	p.Sub.Allow.Add(prefix.All(), "_INBOX.>")
	return p
}
