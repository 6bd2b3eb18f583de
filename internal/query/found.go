package query

import (
	"encoding/json"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/nats-io/nuid"
)

// beFound answers those who look for services, as NATS's architecture decision
// record 32 has it, with the types of the micro package. That package's own
// service would do it too, but would answer to any subject that the client
// names, with our rights (see [table.answerable]), and keep half a million
// requests waiting for each of the nine subjects.
func (t *table) beFound() error {
	id := micro.ServiceIdentity{Name: Name, ID: nuid.Next(), Version: t.cfg.Version, Metadata: map[string]string{"node": t.cfg.Node}}
	started := time.Now().UTC()
	for verb, answer := range map[micro.Verb]func() any{
		micro.PingVerb: func() any { return micro.Ping{ServiceIdentity: id, Type: micro.PingResponseType} },
		micro.InfoVerb: func() any {
			return micro.Info{ServiceIdentity: id, Type: micro.InfoResponseType,
				Description: "The agents of a Wazuh manager as Pulse knows them", Endpoints: t.infos()}
		},
		micro.StatsVerb: func() any {
			return micro.Stats{ServiceIdentity: id, Type: micro.StatsResponseType, Started: started, Endpoints: t.stats()}
		},
	} {
		for _, of := range [][2]string{{"", ""}, {Name, ""}, {Name, id.ID}} {
			subject, err := micro.ControlSubject(verb, of[0], of[1])
			if err != nil {
				return err
			}
			if err := t.hear(subject, func(m *nats.Msg) {
				data, _ := json.Marshal(answer())
				_ = m.Respond(data)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *table) infos() (list []micro.EndpointInfo) {
	for _, y := range t.tallies {
		list = append(list, micro.EndpointInfo{Name: y.name, Subject: y.subject})
	}
	return list
}

func (t *table) stats() (list []*micro.EndpointStats) {
	for _, y := range t.tallies {
		list = append(list, y.stats())
	}
	return list
}
