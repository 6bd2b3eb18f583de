package provision_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// tell publishes as a node does, and wants the stream's acknowledgement.
func (s *stage) tell(js jetstream.JetStream, subject string, body string) {
	s.Helper()
	if _, err := js.Publish(patient(s), subject, []byte(body)); err != nil {
		s.Errorf("%s: %v", subject, err)
	}
}

func TestANodePublishesItsOwnSubjectsAndNothingElse(t *testing.T) {
	s := newStage(t)
	nc, js := s.node("node01")
	for _, subject := range []string{"wazuh.xdr.agent.001.status_change", "wazuh.xdr.alerts.agent_disconnected", "wazuh.xdr.alerts.fleet_outage",
		"wazuh.xdr.manager.keepalive.001", "wazuh.xdr.manager.status.node01", "$KV.PULSE_AGENTS.001", "$KV.PULSE_KEYS.node01"} {
		s.tell(js, subject, "{}")
	}
	for _, bucket := range []string{"PULSE_AGENTS", "PULSE_KEYS"} {
		kv, err := js.KeyValue(patient(t), bucket)
		if err != nil {
			t.Fatal(bucket, err)
		}
		if entry, err := kv.Get(patient(t), map[string]string{"PULSE_AGENTS": "001", "PULSE_KEYS": "node01"}[bucket]); err != nil || string(entry.Value()) != "{}" {
			t.Errorf("%s: %v, %v", bucket, entry, err)
		}
	}
	names := []string{}
	list := js.ListStreams(patient(t), jetstream.WithStreamListSubject("wazuh.xdr.>"))
	for info := range list.Info() {
		names = append(names, info.Config.Name)
	}
	if slices.Sort(names); list.Err() != nil || !slices.Equal(names, []string{"STATUS", "TELEMETRY"}) {
		t.Errorf("streams %v, %v", names, list.Err())
	}
	if _, err := nc.SubscribeSync("pulse.node01.presence"); err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("pulse.node01.presence", nil); err != nil {
		t.Fatal(err)
	}
	s.nothingRefused(nc)
	for _, subject := range []string{"pulse.node02.presence", "wazuh.xdr.manager.status.node02", "$KV.PULSE_KEYS.node02", "wazuh.xdr.agent.001.other", "wazuh.xdr.x", "elsewhere",
		"pulse.agents.list", "$SRV.PING", "_INBOX.node02.x", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.PURGE.STATUS", "$JS.API.STREAM.DELETE.TELEMETRY",
		"$JS.API.STREAM.UPDATE.STATUS", "$JS.API.STREAM.MSG.DELETE.STATUS", "$JS.API.STREAM.MSG.GET.STATUS", "$JS.API.CONSUMER.CREATE.STATUS",
		"$JS.API.CONSUMER.MSG.NEXT.STATUS.xdr", "$JS.API.DIRECT.GET.STATUS", "$SYS.REQ.SERVER.PING"} {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		s.mayNot(subject)
	}
	for _, subject := range []string{">", "wazuh.xdr.>", "wazuh.xdr.agent.*.status_change", "wazuh.xdr.manager.status.node01", "_INBOX.>", "_INBOX.node02.>",
		"pulse.>", "pulse.node02.presence", "pulse.node02.agents.get", "$KV.>", "$JS.>", "$SRV.>"} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		s.mayNot(subject)
	}
	if diff := cmp.Diff(map[string]uint64{"STATUS": 3, "TELEMETRY": 2, "KV_PULSE_AGENTS": 1, "KV_PULSE_KEYS": 1}, s.held(s.admin())); diff != "" {
		t.Error(diff)
	}
}

func TestAReaderReadsAllAndWritesNothing(t *testing.T) {
	s := newStage(t)
	_, from := s.node("node01")
	nc, js := s.reader("xdr")
	live, err := nc.SubscribeSync("wazuh.xdr.>")
	if err != nil {
		t.Fatal(err)
	}
	s.nothingRefused(nc)
	for _, subject := range []string{"wazuh.xdr.agent.001.status_change", "wazuh.xdr.manager.status.node01", "$KV.PULSE_AGENTS.001"} {
		s.tell(from, subject, `{"x":1}`)
	}
	for _, want := range []string{"wazuh.xdr.agent.001.status_change", "wazuh.xdr.manager.status.node01"} {
		if m, err := live.NextMsgWithContext(patient(t)); err != nil || m.Subject != want {
			t.Fatalf("live: %v, %v", m, err)
		}
	}
	for stream, want := range map[string]string{"STATUS": "wazuh.xdr.agent.001.status_change", "TELEMETRY": "wazuh.xdr.manager.status.node01",
		"KV_PULSE_AGENTS": "$KV.PULSE_AGENTS.001"} {
		consumer, err := js.Consumer(patient(t), stream, "xdr")
		if err != nil {
			t.Fatalf("%s: %v", stream, err)
		}
		m, err := consumer.Next(jetstream.FetchMaxWait(patience))
		if err != nil || m.Subject() != want || string(m.Data()) != `{"x":1}` {
			t.Fatalf("%s: %v, %v", stream, m, err)
		}
		if err := m.DoubleAck(patient(t)); err != nil {
			t.Errorf("acknowledge in %s: %v", stream, err)
		}
		if info, err := consumer.Info(patient(t)); err != nil || info.NumAckPending != 0 || info.AckFloor.Stream != 1 {
			t.Errorf("%s: %+v, %v", stream, info, err)
		}
	}
	kv, err := js.KeyValue(patient(t), "PULSE_AGENTS")
	if err != nil {
		t.Fatal(err)
	}
	if entry, err := kv.Get(patient(t), "001"); err != nil || string(entry.Value()) != `{"x":1}` {
		t.Errorf("get: %v, %v", entry, err)
	}
	s.nothingRefused(nc)
	for _, subject := range []string{"pulse.node01.presence", "wazuh.xdr.agent.001.status_change", "wazuh.xdr.alerts.fleet_outage", "wazuh.xdr.manager.status.node01", "wazuh.xdr.x",
		"$KV.PULSE_AGENTS.001", "$KV.PULSE_KEYS.node01", "_INBOX.node01.x", "$JS.API.STREAM.CREATE.MINE", "$JS.API.STREAM.UPDATE.STATUS",
		"$JS.API.STREAM.PURGE.STATUS", "$JS.API.STREAM.DELETE.STATUS", "$JS.API.STREAM.MSG.DELETE.TELEMETRY", "$JS.API.STREAM.SNAPSHOT.STATUS",
		"$JS.API.CONSUMER.CREATE.STATUS", "$JS.API.CONSUMER.CREATE.STATUS.mine", "$JS.API.CONSUMER.DURABLE.CREATE.STATUS.xdr", "$JS.API.CONSUMER.DELETE.STATUS.xdr",
		"$JS.API.CONSUMER.MSG.NEXT.STATUS.soc", "$JS.ACK.STATUS.soc.1.1.1.1.0", "$SYS.REQ.SERVER.PING"} {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		s.mayNot(subject)
	}
	if diff := cmp.Diff(map[string]uint64{"STATUS": 1, "TELEMETRY": 1, "KV_PULSE_AGENTS": 1, "KV_PULSE_KEYS": 0}, s.held(s.admin())); diff != "" {
		t.Error(diff)
	}
}

// A server sends the answer to a request wherever the client says, in its own
// name. Were nodes and readers in the streams' account, this would purge
// streams, and put messages into them that nobody may publish.
func TestAnAnswerToARequestCannotBeMadeACommandOrAMessage(t *testing.T) {
	s := newStage(t)
	node, js := s.node("node01")
	s.tell(js, "$KV.PULSE_AGENTS.001", "{}")
	s.tell(js, "wazuh.xdr.manager.keepalive.001", "{}")
	s.tell(js, "wazuh.xdr.agent.001.status_change", "{}")
	reader, _ := s.reader("xdr")
	replies := []string{"$JS.API.STREAM.PURGE.TELEMETRY", "$JS.API.STREAM.PURGE.KV_PULSE_AGENTS", "$JS.API.STREAM.DELETE.TELEMETRY", "wazuh.xdr.manager.status.node02",
		"wazuh.xdr.manager.keepalive.002", "wazuh.xdr.alerts.fleet_outage", "$KV.PULSE_KEYS.node02", "$KV.PULSE_AGENTS.002", "$PULSE.WILL.node02", "$PULSE.LOST.node02"}
	for _, reply := range replies {
		for _, request := range []string{"$JS.API.STREAM.LIST", "$JS.API.STREAM.INFO.KV_PULSE_AGENTS", "$JS.API.DIRECT.GET.KV_PULSE_AGENTS.$KV.PULSE_AGENTS.001"} {
			for _, nc := range []*nats.Conn{node, reader} {
				if err := nc.PublishRequest(request, reply, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		for request, body := range map[string]string{"$JS.API.CONSUMER.MSG.NEXT.STATUS.xdr": `{"no_wait":true}`, "$JS.API.STREAM.MSG.GET.STATUS": `{"seq":1}`,
			"$JS.API.DIRECT.GET.TELEMETRY": `{"seq":1}`, "$JS.API.INFO": ""} {
			if err := reader.PublishRequest(request, reply, []byte(body)); err != nil {
				t.Fatal(err)
			}
		}
	}
	// What the server answers is done when it has answered these.
	for nc, request := range map[*nats.Conn]string{node: "$JS.API.STREAM.LIST", reader: "$JS.API.INFO"} {
		if _, err := nc.RequestWithContext(patient(t), request, nil); err != nil {
			t.Fatal(err)
		}
	}
	s.tell(js, "wazuh.xdr.agent.001.status_change", "{}")
	if diff := cmp.Diff(map[string]uint64{"STATUS": 2, "TELEMETRY": 1, "KV_PULSE_AGENTS": 1, "KV_PULSE_KEYS": 0}, s.held(s.admin())); diff != "" {
		t.Error(diff)
	}
}
