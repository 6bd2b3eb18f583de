package survival

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
)

// history is what a daemon has published in all its lives.
type history struct {
	changes map[string][]event.StatusChange // by agent, in order
	alerts  map[string][]event.StatusChange // the same, of those on the alerts' subject
	numbers map[uint64][]uint64             // sequences by epoch, in no order
}

// status is the agent's status at the end.
func (h *history) status(id string) event.Status {
	all := h.changes[id]
	if len(all) == 0 {
		return event.NeverConnected
	}
	return all[len(all)-1].CurrentStatus
}

// read reads the streams of a running daemon, as an XDR platform would.
func (s *site) read() (*history, error) {
	client, err := nats.Connect("nats://"+s.cfg.NATS.Listen, nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer client.Close()
	js, err := jetstream.New(client, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		return nil, err
	}
	h := &history{changes: map[string][]event.StatusChange{}, alerts: map[string][]event.StatusChange{}, numbers: map[uint64][]uint64{}}
	return h, errors.Join(h.readStream(js, "STATUS"), h.readStream(js, "TELEMETRY"))
}

func (h *history) readStream(js jetstream.JetStream, name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cons, err := js.OrderedConsumer(ctx, name, jetstream.OrderedConsumerConfig{InactiveThreshold: 2 * time.Second}) // it is read often: soon gone
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	info, err := cons.Info(ctx)
	if err != nil || info.NumPending == 0 {
		return err
	}
	messages, err := cons.Messages()
	if err != nil {
		return err
	}
	defer messages.Stop()
	for {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := h.take(m.Subject(), m.Data()); err != nil {
			return err
		}
		if meta, err := m.Metadata(); err != nil || meta.NumPending == 0 {
			return err
		}
	}
}

func (h *history) take(subject string, data []byte) error {
	var m struct {
		Change   *event.StatusChange `json:"status_change"`
		Security event.Security      `json:"security"`
	}
	if err := json.Unmarshal(data, &m); err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	h.numbers[m.Security.Epoch] = append(h.numbers[m.Security.Epoch], m.Security.Sequence)
	if m.Change != nil && subject == event.Prefix(event.DefaultPrefix).StatusChange(m.Change.AgentID) {
		h.changes[m.Change.AgentID] = append(h.changes[m.Change.AgentID], *m.Change)
	}
	if m.Change != nil && subject == event.Prefix(event.DefaultPrefix).AgentDisconnected() {
		h.alerts[m.Change.AgentID] = append(h.alerts[m.Change.AgentID], *m.Change)
	}
	return nil
}

// checkNumbers wants every epoch's sequence without a gap or repeat.
func (h *history) checkNumbers(t *testing.T) {
	t.Helper()
	for epoch, numbers := range h.numbers {
		slices.Sort(numbers)
		for i, n := range numbers {
			if n != uint64(i+1) {
				t.Errorf("epoch %d has %d messages, and sequence %d where %d should be", epoch, len(numbers), n, i+1)
				break
			}
		}
	}
}

// checkChain wants every change to begin where the one before ended.
func (h *history) checkChain(t *testing.T) {
	t.Helper()
	for id, changes := range h.changes {
		status := event.NeverConnected
		for i, c := range changes {
			if c.PreviousStatus != status {
				t.Errorf("agent %s: change %d is from %d, and the one before was to %d: %+v", id, i, c.PreviousStatus, status, c)
			}
			status = c.CurrentStatus
		}
	}
}
