package natsserver

import (
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// serve answers questions on our own connection, as the daemon does.
func serve(t *testing.T, n *testNode) {
	t.Helper()
	nc, err := n.Connect(Service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	service, err := micro.AddService(nc, micro.Config{Name: "pulse", Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := service.Stop(); err != nil {
			t.Error(err)
		}
	})
	echo := micro.HandlerFunc(func(r micro.Request) { r.Respond(append([]byte("heard "), r.Data()...)) })
	if err := service.AddGroup("pulse").AddEndpoint("echo", echo); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
}

func TestAReaderMayAskTheService(t *testing.T) {
	s := newFixture(t)
	serve(t, s.node)
	for subject, want := range map[string]string{"pulse.echo": "heard x", "$SRV.PING": "", "$SRV.INFO.pulse": "", "$SRV.STATS.pulse": ""} {
		m, err := s.reader.RequestWithContext(testContext(t), subject, []byte("x"))
		if err != nil || want != "" && string(m.Data) != want {
			t.Errorf("%s: %v, %v", subject, m, err)
		}
	}
	s.unharmed()
}

func TestAQuestionReachesNoStreamAndNoOtherService(t *testing.T) {
	s := newFixture(t)
	serve(t, s.node)
	for _, subject := range []string{"pulse.echo", "pulse.nobody", "$SRV.PING"} {
		for _, reply := range []string{
			prefix + ".agent.001.status_change", prefix + ".alerts.fleet_outage", prefix + ".manager.keepalive.001",
			"$JS.API.STREAM.PURGE.STATUS", proxyPrefix + "CONSUMER.CREATE.STATUS", "pulse.echo", "$SRV.PING", "_R_.abcdef.abcdef",
		} {
			m := nats.NewMsg(subject)
			m.Reply, m.Data = reply, []byte("x")
			m.Header.Set("Nats-Trace-Dest", reply)
			if err := s.reader.PublishMsg(m); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.allDone()
	s.unharmed()
}

func TestAReaderCannotAnswerAnothersQuestion(t *testing.T) {
	n := startNode(t, Config{Listen: "127.0.0.1:0"})
	refused := make(chan error, 1)
	nc, _ := testsupport.ConnectNATS(t, n.URL(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	for _, subject := range []string{"pulse.>", "pulse.echo", "$SRV.>", "$SRV.PING", "*.echo"} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		awaitRefusal(t, refused)
	}
}

// The micro service reads what strangers send: it has the right to hear
// questions and to answer them, and no other.
func TestTheServiceMayOnlyAnswer(t *testing.T) {
	s := newFixture(t)
	nc, err := s.node.Connect(Service)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	refused := make(chan error, 1)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
	for _, subject := range []string{">", prefix + ".>", "$JS.API.>", "_INBOX.>", "_R_.>", "$SYS.>"} {
		if _, err := nc.SubscribeSync(subject); err != nil {
			t.Fatal(err)
		}
		awaitRefusal(t, refused)
	}
	for _, subject := range []string{prefix + ".agent.001.status_change", "$JS.API.STREAM.PURGE.STATUS", "pulse.status", "$SRV.PING", "_INBOX.x"} {
		if err := nc.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
		awaitRefusal(t, refused)
	}
	s.unharmed()
}
