package natsserver

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

const bucketName = "PULSE_AGENTS"

// withBucket has a key-value bucket with one value, as another room keeps it.
func withBucket(t *testing.T) (*fixture, jetstream.Stream) {
	s := newFixture(t)
	kv, err := s.node.js.CreateKeyValue(testContext(t), jetstream.KeyValueConfig{Bucket: bucketName, History: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.Put(testContext(t), "001", []byte("ours")); err != nil {
		t.Fatal(err)
	}
	stream, err := s.node.js.Stream(testContext(t), RosterStream)
	if err != nil {
		t.Fatal(err)
	}
	return s, stream
}

func TestAReaderReadsTheBucket(t *testing.T) {
	s, _ := withBucket(t)
	ctx := testContext(t)
	kv, err := s.js.KeyValue(ctx, bucketName)
	if err != nil {
		t.Fatal(err)
	}
	if e, err := kv.Get(ctx, "001"); err != nil || string(e.Value()) != "ours" {
		t.Errorf("%v, %v", e, err)
	}
	if _, err := kv.Get(ctx, "002"); err == nil || !strings.Contains(err.Error(), "not found") {
		t.Errorf("a key that is not there: %v", err)
	}
	cons, err := s.js.CreateOrUpdateConsumer(ctx, RosterStream, jetstream.ConsumerConfig{Durable: "xdr", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	m, err := cons.Next(jetstream.FetchContext(ctx))
	if err != nil || string(m.Data()) != "ours" {
		t.Fatalf("%v, %v", m, err)
	}
	if err := m.DoubleAck(ctx); err != nil {
		t.Error(err)
	}
	s.unharmed()
}

func TestAReaderCannotWriteTheBucket(t *testing.T) {
	refused := make(chan error, 1)
	s, stream := withBucket(t)
	nc, _ := testsupport.ConnectNATS(t, s.node.URL(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	for _, subject := range []string{"$KV." + bucketName + ".001", "$JS.API.STREAM.CREATE." + RosterStream, "$JS.API.STREAM.UPDATE." + RosterStream,
		"$JS.API.STREAM.DELETE." + RosterStream, "$JS.API.STREAM.PURGE." + RosterStream, "$JS.API.STREAM.MSG.DELETE." + RosterStream,
		"$JS.API.CONSUMER.DELETE." + RosterStream + ".other", "$JS.API.STREAM.INFO.KV_OTHER"} {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		awaitRefusal(t, refused)
	}
	if _, err := nc.SubscribeSync("$KV.>"); err != nil {
		t.Fatal(err)
	}
	awaitRefusal(t, refused)
	s.asItWas(stream)
}

func TestWhoKeepsTheBucketMayDoNothingElse(t *testing.T) {
	s, stream := withBucket(t)
	nc, err := s.node.Connect(Roster)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	refused := make(chan error, 1)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })
	for _, subject := range []string{prefix + ".agent.001.status_change", "$JS.API.STREAM.PURGE.STATUS", "$JS.API.STREAM.DELETE." + RosterStream,
		"$JS.API.STREAM.CREATE.OTHER", "$KV.OTHER.001", proxyPrefix + "CONSUMER.CREATE.STATUS", "pulse.echo"} {
		if err := nc.Publish(subject, []byte("{}")); err != nil {
			t.Fatal(err)
		}
		awaitRefusal(t, refused)
	}
	if _, err := nc.SubscribeSync(prefix + ".>"); err != nil {
		t.Fatal(err)
	}
	awaitRefusal(t, refused)
	s.asItWas(stream)
	s.unharmed()
}

func TestAnAnswerUnderAKeyReachesNoBucket(t *testing.T) {
	s, stream := withBucket(t)
	push := fmt.Sprintf(`{"stream_name":%q,"config":{"deliver_subject":"$KV.%s.002","ack_policy":"none"}}`, RosterStream, bucketName)
	for _, request := range []struct{ subject, body string }{
		{"STREAM.INFO." + RosterStream, ""}, {"STREAM.MSG.GET." + RosterStream, `{"seq":1}`}, {"DIRECT.GET." + RosterStream, `{"seq":1}`},
		{"DIRECT.GET." + RosterStream + ".$KV." + bucketName + ".001", ""}, {"CONSUMER.LIST." + RosterStream, ""},
		{"CONSUMER.CREATE." + RosterStream, push}, {"DIRECT.GET.STATUS", `{"seq":1}`}, {"INFO", ""},
	} {
		m := nats.NewMsg(apiPrefix + request.subject)
		m.Reply, m.Data = "$KV."+bucketName+".002", []byte(request.body)
		m.Header.Set("Nats-Trace-Dest", "$KV."+bucketName+".003")
		if err := s.reader.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
	}
	answer, err := s.reader.RequestWithContext(testContext(t), apiPrefix+"CONSUMER.CREATE."+RosterStream, []byte(push))
	if err != nil || !strings.Contains(string(answer.Data), "push consumers are not for readers") {
		t.Errorf("%v, %v", answer, err)
	}
	s.allDone()
	s.asItWas(stream)
	s.unharmed()
}

// asItWas wants nothing but the one value that was put.
func (s *fixture) asItWas(stream jetstream.Stream) {
	s.Helper()
	info, err := stream.Info(testContext(s))
	if err != nil || info.State.LastSeq != 1 || info.State.Msgs != 1 {
		s.Errorf("%+v, %v", info, err)
	}
}
