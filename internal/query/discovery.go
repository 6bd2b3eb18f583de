package query

import (
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nuid"
)

// subscribeDiscovery answers the requests that discover services (NATS
// architecture decision record 32), with the types of the micro package. That
// package's own service would answer to any reply subject with our rights (see
// [connection.hasInboxReply]), and keep half a million requests waiting for each of
// the nine subjects.
func (c *connection) subscribeDiscovery() error {
	id := micro.ServiceIdentity{Name: Name, ID: nuid.Next(), Version: c.cfg.Version, Metadata: map[string]string{"node": c.cfg.Node}}
	started := time.Now().UTC()
	for verb, answer := range map[micro.Verb]func() any{
		micro.PingVerb: func() any { return micro.Ping{ServiceIdentity: id, Type: micro.PingResponseType} },
		micro.InfoVerb: func() any {
			return micro.Info{ServiceIdentity: id, Type: micro.InfoResponseType,
				Description: "The agents of a Wazuh manager as Pulse knows them", Endpoints: c.endpointInfos()}
		},
		micro.StatsVerb: func() any {
			return micro.Stats{ServiceIdentity: id, Type: micro.StatsResponseType, Started: started, Endpoints: c.endpointStats()}
		},
	} {
		for _, of := range [][2]string{{"", ""}, {Name, ""}, {Name, id.ID}} {
			subject, err := micro.ControlSubject(verb, of[0], of[1])
			if err != nil {
				return err
			}
			if err := c.subscribeTo(subject, func(m *nats.Msg) {
				data, _ := json.Marshal(answer())
				_ = m.Respond(data)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *connection) endpointInfos() (list []micro.EndpointInfo) {
	for _, e := range c.endpoints {
		list = append(list, micro.EndpointInfo{Name: e.name, Subject: e.subject})
	}
	return list
}

func (c *connection) endpointStats() (list []*micro.EndpointStats) {
	for _, e := range c.endpoints {
		list = append(list, e.toMicro())
	}
	return list
}
