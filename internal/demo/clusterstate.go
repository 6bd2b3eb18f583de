package demo

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/seal"
)

// storedState is what the NATS server has of an agent.
type storedState struct {
	bucket event.AgentState
	last   event.StatusChange
}

// readStates reads what the NATS server has of each agent.
func (w *clusterWorld) readStates(ctx context.Context) (map[string]storedState, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	bucket, err := w.js.KeyValue(ctx, event.AgentsBucket)
	if err != nil {
		return nil, fmt.Errorf("read the bucket %s: %w", event.AgentsBucket, err)
	}
	status, err := w.js.Stream(ctx, "STATUS")
	if err != nil {
		return nil, err
	}
	states := make(map[string]storedState)
	open := seal.Opener{Verifier: w.verifier}
	for _, id := range w.agentIDs {
		var s storedState
		value, err := bucket.Get(ctx, id)
		if err == nil {
			s, err = w.readState(ctx, status, &open, id, value)
		}
		if err != nil && !errors.Is(err, jetstream.ErrKeyNotFound) {
			return nil, fmt.Errorf("read the state of agent %s: %w", id, err)
		}
		states[id] = s
	}
	return states, nil
}

func (w *clusterWorld) readState(ctx context.Context, status jetstream.Stream, open *seal.Opener, id string, value jetstream.KeyValueEntry) (s storedState, err error) {
	stored, err := w.js.Stream(ctx, "KV_"+event.AgentsBucket)
	if err != nil {
		return s, err
	}
	raw, err := stored.GetMsg(ctx, value.Revision())
	if err != nil {
		return s, err
	}
	state, err := open.OpenState(id, raw.Header, raw.Data)
	if err != nil {
		return s, err
	}
	last, err := status.GetLastMsgForSubject(ctx, w.prefix.StatusChange(id))
	if err != nil {
		return s, err
	}
	opened, err := open.Open(seal.Message{Subject: last.Subject, Header: last.Header, Data: last.Data})
	if err != nil {
		return s, err
	}
	s.bucket = *state
	if m, ok := opened.Message.(*event.StatusChangeMessage); ok {
		s.last = m.StatusChange
	}
	return s, nil
}
