package daemon

import (
	"slices"
	"testing"
	"time"

	cenats "github.com/cloudevents/sdk-go/protocol/nats_jetstream/v2"
	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/nats-io/nats.go"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/message"
)

// The SDK of CloudEvents reads what it is given by a NATS server, and validates it.
func TestStatusMessagesAreCloudEvents(t *testing.T) {
	t.Parallel()
	cfg := testSettings(t)
	h := startTestNode(t, cfg)
	h.startAgents(keyFile)
	deadline := time.After(testTimeout)
	for seen := false; !seen; {
		var m *nats.Msg
		select {
		case m = <-h.messages:
		case <-deadline:
			t.Fatal("no status change")
		}
		got := h.checkMessage(m)
		ce, err := binding.ToEvent(t.Context(), cenats.NewMessage(m))
		if got.Change == nil {
			if err == nil {
				t.Errorf("%s is marked as a CloudEvent: %v", m.Subject, ce)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v\n%v", m.Subject, err, m.Header)
		}
		if err := ce.Validate(); err != nil {
			t.Errorf("%s: %v", m.Subject, err)
		}
		if ce.ID() != got.ID() || ce.Source() != "/pulse/node01" || ce.Type() != message.CloudEventType+"status_change" || ce.Subject() != got.Change.AgentID ||
			ce.Time().UnixMilli() != got.IssuedAt || ce.DataContentType() != event.ContentType || !slices.Equal(ce.Data(), m.Data) {
			t.Errorf("%v\n%v", ce, m.Header)
		}
		seen = true
	}
}
