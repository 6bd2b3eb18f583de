package provision_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// A node that was broken into can write one key at a time, and remove none of the others'.
func TestNoNodeCanWipeASharedBucket(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, one := s.node("node01")
	_, two := s.node("node02")
	s.tell(one, "$KV.PULSE_AGENTS.001", "{}")
	s.tell(one, "$KV.PULSE_KEYS.node01", "{}")
	for _, subject := range []string{"$KV.PULSE_AGENTS.002", "$KV.PULSE_KEYS.node02"} {
		for _, what := range []string{jetstream.MsgRollupAll, jetstream.MsgRollupSubject} {
			m := nats.NewMsg(subject)
			m.Header.Set(jetstream.MsgRollup, what)
			if _, err := two.PublishMsg(patient(t), m, jetstream.WithRetryAttempts(0)); err == nil || !strings.Contains(err.Error(), "rollup not permitted") {
				t.Errorf("%s, %s: %v", subject, what, err)
			}
		}
	}
	for _, stream := range []string{"KV_PULSE_AGENTS", "KV_PULSE_KEYS"} {
		if held := s.held(s.admin())[stream]; held != 1 {
			t.Errorf("%s holds %d", stream, held)
		}
	}
}

// Buckets that an earlier version or a client library made are made safe.
func TestApplyForbidsRollUpsInBucketsThatAreThere(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	path := s.path("streams/KV_PULSE_KEYS.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var cfg jetstream.StreamConfig
	if err := json.Unmarshal(text, &cfg); err != nil {
		t.Fatal(err)
	}
	cfg.AllowRollup, cfg.DenyPurge = true, false
	old, err := json.Marshal(cfg)
	if err == nil {
		err = os.WriteFile(path, old, 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	js, st := s.admin(), s.open()
	remade := func(make bool) {
		t.Helper()
		if err := js.DeleteStream(patient(t), cfg.Name); err != nil {
			t.Fatal(err)
		}
		if make {
			if _, err := js.CreateStream(patient(t), cfg); err != nil {
				t.Fatal(err)
			}
		}
		made, err := st.Apply(patient(t), "")
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range made {
			if ours := m.What == "stream "+cfg.Name; (m.Changed != "") != (ours && make) || m.New != (ours && !make) {
				t.Errorf("%+v", m)
			}
		}
		stream, err := js.Stream(patient(t), cfg.Name)
		if err != nil || stream.CachedInfo().Config.AllowRollup {
			t.Errorf("made before: %v: %v", make, err)
		}
	}
	remade(true)
	remade(false)
}
