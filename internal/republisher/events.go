package republisher

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/event/ocsf"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// outgoing is an event to be stored.
type outgoing struct {
	subject string
	header  nats.Header
	data    []byte
}

// makeEvents returns the events of stored messages, in their order. A message that cannot be
// read has none.
func (r *Republisher) makeEvents(batch []outbox.Stored) (events []outgoing) {
	for i := range batch {
		more, err := r.makeMessageEvents(&batch[i])
		if err != nil && r.unread.Add(1) == 1 {
			r.log.Error("a message cannot be read, and is not published as OCSF", "err", fmt.Errorf("message on %s: %w", batch[i].Subject, err))
		}
		events = append(events, more...)
	}
	return events
}

func (r *Republisher) makeMessageEvents(stored *outbox.Stored) (events []outgoing, err error) {
	text := stored.Data
	if r.cfg.Open != nil {
		if text, err = r.cfg.Open(text); err != nil {
			return nil, err
		}
	}
	m, err := event.Parse(text)
	if err != nil {
		return nil, err
	}
	for i, e := range ocsf.Events(m) {
		o := outgoing{subject: eventSubject(r.cfg.Subject, r.cfg.Node, e), header: nats.Header{"Content-Type": {event.ContentType}}}
		if o.data, err = json.Marshal(e); err != nil {
			return nil, err
		}
		if r.cfg.Seal != nil {
			var header map[string][]string
			if o.data, header, err = r.cfg.Seal(o.data); err != nil {
				return nil, err
			}
			for name, values := range header {
				o.header[name] = values
			}
		}
		o.header[jetstream.MsgIDHeader] = []string{r.ids.signID(m.Identity().ID() + "-ocsf" + strconv.Itoa(i+1))}
		events = append(events, o)
	}
	return events, nil
}

// Subject returns where the events of an agent go, or with "" those of a node itself.
func Subject(prefix, node, agent string) string {
	if agent == "" {
		return prefix + "." + node + ".node"
	}
	return prefix + "." + node + ".agent." + agent
}

// AllSubjects returns the pattern of all that nodes publish as OCSF.
func AllSubjects(prefix string) string { return prefix + ".>" }

func eventSubject(prefix, node string, e *ocsf.Event) string {
	if e.Device == nil || len(e.Device.AgentList) == 0 {
		return Subject(prefix, node, "")
	}
	return Subject(prefix, node, e.Device.AgentList[0].UID)
}
