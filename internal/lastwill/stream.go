package lastwill

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
)

// LiveSubject is where each loss is published as it is announced, for those who receive
// live messages.
const LiveSubject = "$PULSE.LIVE"

// StreamName returns the name of the stream of a node's last will. Each node has one of
// its own, since a stream with schedules allows roll-ups: one message of a node could
// remove the wills of all others.
func StreamName(node string) string { return "PULSE_WILLS_" + node }

// Subject returns the subject to which a node's last will is published.
func Subject(node string) string { return "$PULSE.WILL." + node }

// LostSubject returns the subject under which the server stores a node's will when it is due.
func LostSubject(node string) string { return "$PULSE.LOST." + node }

// maxAge is when the server removes a will that was not renewed. It is less than two
// delays, since the schedule repeats. A server that starts looks at the age of what it
// has before it looks at schedules.
const maxAge = Delay + 3*time.Second

// messageMax is the most that a will may take, and streamMax what its stream may.
const (
	messageMax = 64 << 10
	streamMax  = 1 << 20
)

// StreamConfig returns the configuration of the stream of a node's last will. Only NATS
// 2.12 and newer can make it.
func StreamConfig(node string) jetstream.StreamConfig {
	return jetstream.StreamConfig{Name: StreamName(node), Description: "Pulse: the last will of " + node, Subjects: []string{Subject(node), LostSubject(node)},
		MaxMsgsPerSubject: 1, MaxMsgs: -1, MaxBytes: streamMax, MaxAge: maxAge, Duplicates: maxAge / 2, MaxMsgSize: messageMax, MaxConsumers: -1, Storage: jetstream.FileStorage, Replicas: 1,
		AllowRollup: true, AllowMsgTTL: true, AllowMsgSchedules: true,
		RePublish: &jetstream.RePublish{Source: LostSubject(node), Destination: LiveSubject}}
}

// SourceConfig returns what a stream takes from that of a node's last will: announced
// losses, to be stored under a subject.
func SourceConfig(node, subject string) *jetstream.StreamSource {
	return &jetstream.StreamSource{Name: StreamName(node),
		SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: LostSubject(node), Destination: subject}}}
}

// Support is what a server can do for a node's last will.
type Support uint8

const (
	Missing   Support = iota // no stream takes it
	Incapable                // the stream's messages are not scheduled: the server is older than 2.12, or somebody else made the stream
	Capable
)

// Problem returns what is missing for a node's last will, and what to do about it; "" for
// nothing.
func (s Support) Problem(node string) (problem, hint string) {
	switch s {
	case Missing:
		return "the NATS server has no stream " + StreamName(node), "pulse provision makes it with --apply, once the node has credentials with the right to it (--renew " + node + ")"
	case Incapable:
		return "the NATS server schedules no messages in the stream " + StreamName(node), "it takes NATS 2.12, and a stream as pulse provision makes it"
	}
	return "", ""
}

// FindSupport asks the JetStream of a domain what it can do for a node's last will.
func FindSupport(ctx context.Context, nc *nats.Conn, domain jsdomain.Domain, node string, timeout time.Duration) (Support, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, domain.Subject("$JS.API.STREAM.LIST"), fmt.Appendf(nil, `{"subject":%q}`, Subject(node)))
	if err != nil {
		return Missing, fmt.Errorf("list the streams: %w", err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Streams []struct {
			Config struct {
				Schedules bool `json:"allow_msg_schedules"`
				TTL       bool `json:"allow_msg_ttl"`
			} `json:"config"`
		} `json:"streams"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return Missing, fmt.Errorf("list the streams: %w", err)
	}
	if answer.Error != nil {
		return Missing, fmt.Errorf("list the streams: %w", answer.Error)
	}
	if len(answer.Streams) == 0 {
		return Missing, nil
	}
	if c := answer.Streams[0].Config; !c.Schedules || !c.TTL {
		return Incapable, nil
	}
	return Capable, nil
}
