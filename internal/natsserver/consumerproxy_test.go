package natsserver

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// Whatever a reader asks for, what the proxy passes on delivers to nobody's subject,
// is not under a name of ours, and is bounded.
func FuzzParseCreateRequest(f *testing.F) {
	f.Add("CONSUMER.CREATE.STATUS", []byte(`{"stream_name":"STATUS","config":{"ack_policy":"none"}}`))
	f.Add("CONSUMER.CREATE.STATUS.mine", []byte(`{"config":{"name":"mine","durable_name":"mine","inactive_threshold":1}}`))
	f.Add("CONSUMER.DURABLE.CREATE.TELEMETRY.x", []byte(`{"config":{"deliver_subject":"$JS.API.STREAM.PURGE.STATUS"}}`))
	f.Add("CONSUMER.CREATE.STATUS", []byte(`{"config":{"DELIVER_SUBJECT":"x","deliver_subject":""}}`))
	f.Add("CREATE.", []byte(`{"config":{"max_ack_pending":-1}}`))
	f.Fuzz(func(t *testing.T, request string, body []byte) {
		r, err := parseCreateRequest(request, body)
		if err != nil {
			return
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var passed map[string]map[string]any
		_ = json.Unmarshal(text, &passed) // its other members are no objects
		for name := range passed["config"] {
			if strings.EqualFold(name, "deliver_subject") || strings.EqualFold(name, "deliver_group") {
				t.Errorf("%s passes on %s", body, text)
			}
		}
		c := &r.Config
		_, name := splitRequest(request)
		if slices.Contains(OwnConsumers, name) || slices.Contains(OwnConsumers, c.Durable) || slices.Contains(OwnConsumers, c.Name) {
			t.Errorf("%s %s is one of ours", request, text)
		}
		if c.MaxAckPending < 0 || c.MaxAckPending > unackedMax || c.MaxWaiting < 0 || c.MaxWaiting > waitingMax || c.InactiveThreshold > unusedMax ||
			c.Durable != "" && c.InactiveThreshold <= 0 {
			t.Errorf("%s passes on %s", body, text)
		}
	})
}
