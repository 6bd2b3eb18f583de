package provision_test

import (
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/lastwill"
	"github.com/wazuh-pulse/pulse/internal/provision"
)

// scheduled returns a will of a node that is due after some time.
func scheduled(node, every, target string) *nats.Msg {
	m := nats.NewMsg(lastwill.Subject(node))
	m.Data = []byte(`{"of":"` + node + `"}`)
	m.Header.Set(jetstream.ScheduleHeader, "@every "+every)
	m.Header.Set(jetstream.ScheduleTargetHeader, target)
	return m
}

func TestALossThatTheServerAnnouncesReachesReaders(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	_, js := s.node("node01")
	nc, from := s.reader("xdr")
	live, err := nc.SubscribeSync("wazuh.xdr.alerts.>")
	if err != nil {
		t.Fatal(err)
	}
	s.nothingRefused(nc)
	if _, err := js.PublishMsg(patient(t), scheduled("node01", "1s", lastwill.LostSubject("node01"))); err != nil {
		t.Fatal(err)
	}
	const subject, text = "wazuh.xdr.alerts.node_lost", `{"of":"node01"}`
	if m, err := live.NextMsgWithContext(patient(t)); err != nil || m.Subject != subject || string(m.Data) != text {
		t.Fatalf("live: %v, %v", m, err)
	}
	consumer, err := from.Consumer(patient(t), "STATUS", "xdr")
	if err != nil {
		t.Fatal(err)
	}
	if m, err := consumer.Next(jetstream.FetchMaxWait(patience)); err != nil || m.Subject() != subject || string(m.Data()) != text {
		t.Fatalf("stored: %v, %v", m, err)
	}
}

// A stream with schedules lets whoever may publish one message remove all others of the
// stream, end all its schedules, and have a message stored under all its subjects.
func TestANodeWritesItsOwnLastWillAlone(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	nc, js := s.node("node01")
	_, other := s.node("node02")
	for node, js := range map[string]jetstream.JetStream{"node01": js, "node02": other} {
		if _, err := js.PublishMsg(patient(t), scheduled(node, "1h", lastwill.LostSubject(node))); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []string{lastwill.Subject("node02"), lastwill.LostSubject("node01"), lastwill.LostSubject("node02"), lastwill.LiveSubject,
		"$JS.API.STREAM.PURGE.PULSE_WILLS_node02", "$JS.API.STREAM.DELETE.PULSE_WILLS_node02", "$JS.API.STREAM.UPDATE.PULSE_WILLS_node01",
		"$JS.API.STREAM.MSG.DELETE.PULSE_WILLS_node02", "$JS.API.STREAM.MSG.GET.PULSE_WILLS_node02", "$JS.API.CONSUMER.CREATE.PULSE_WILLS_node02"} {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		s.mayNot(subject)
	}
	for _, target := range []string{lastwill.LostSubject("node02"), lastwill.Subject("node02"), "wazuh.xdr.alerts.node_lost", "wazuh.xdr.agent.001.status_change", "$KV.PULSE_KEYS.node02"} {
		if _, err := js.PublishMsg(patient(t), scheduled("node01", "1s", target), jetstream.WithRetryAttempts(0)); err == nil || !strings.Contains(err.Error(), "target is invalid") {
			t.Errorf("announced on %s: %v", target, err)
		}
	}
	wipe, end := nats.NewMsg(lastwill.Subject("node01")), nats.NewMsg(lastwill.Subject("node01"))
	wipe.Header.Set(jetstream.MsgRollup, jetstream.MsgRollupAll)
	end.Header.Set(jetstream.SchedulerHeader, lastwill.Subject("node02"))
	end.Header.Set(jetstream.ScheduleNextHeader, "purge")
	for _, m := range []*nats.Msg{wipe, end} {
		if _, err := js.PublishMsg(patient(t), m); err != nil {
			t.Fatal(err)
		}
	}
	s.wantWill("node02")
	reader, _ := s.reader("xdr")
	for _, subject := range []string{lastwill.Subject("node01"), lastwill.LostSubject("node01"), lastwill.LiveSubject, "wazuh.xdr.alerts.node_lost"} {
		if err := reader.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		s.mayNot(subject)
	}
	for _, subject := range []string{lastwill.Subject("*"), lastwill.LiveSubject} {
		if _, err := reader.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		s.mayNot(subject)
	}
	s.wantWill("node02")
}

// wantWill checks that the server has the will of a node.
func (s *stage) wantWill(node string) {
	s.Helper()
	stream, err := s.admin().Stream(patient(s), lastwill.StreamName(node))
	if err != nil {
		s.Fatal(err)
	}
	if m, err := stream.GetLastMsgForSubject(patient(s), lastwill.Subject(node)); err != nil || string(m.Data) != `{"of":"`+node+`"}` || m.Header.Get(jetstream.ScheduleHeader) == "" {
		s.Errorf("the will of %s: %v, %v", node, m, err)
	}
}

// A setup from before there were last wills gets them with new credentials of a node.
func TestARenewedNodeOfAnExistingSetupGetsALastWill(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	admin := s.admin()
	for _, node := range []string{"node01", "node02"} {
		if err := os.Remove(s.path("streams/PULSE_WILLS_" + node + ".json")); err != nil {
			t.Fatal(err)
		}
		if err := admin.DeleteStream(patient(t), "PULSE_WILLS_"+node); err != nil {
			t.Fatal(err)
		}
	}
	status, err := admin.Stream(patient(t), "STATUS")
	if err != nil {
		t.Fatal(err)
	}
	cfg := status.CachedInfo().Config
	cfg.Sources = nil
	if _, err := admin.UpdateStream(patient(t), cfg); err != nil {
		t.Fatal(err)
	}
	st := s.open()
	if _, err := st.Change(provision.Change{Renew: []string{"node01", "xdr"}, Revoke: []string{"node02"}}); err != nil {
		t.Fatal(err)
	}
	s.reload()
	changed := map[string]string{}
	made, err := st.Apply(patient(t), "")
	for _, m := range made {
		if changed[m.What] += m.Changed; m.New {
			changed[m.What] += "new"
		}
	}
	if err != nil || changed["stream PULSE_WILLS_node01"] != "new" || !strings.Contains(changed["stream STATUS"], "announces") {
		t.Errorf("%v, %v", made, err)
	}
	if made, err := st.Apply(patient(t), ""); err != nil {
		t.Error(err)
	} else {
		for _, m := range made {
			if m.New || m.Changed != "" {
				t.Errorf("changed again: %+v", m)
			}
		}
	}
	_, js := s.node("node01")
	if _, err := js.PublishMsg(patient(t), scheduled("node01", "1h", lastwill.LostSubject("node01"))); err != nil {
		t.Error(err)
	}
}
