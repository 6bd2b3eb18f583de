package republisher

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	natsserver "github.com/nats-io/nats-server/v2/test"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/event/ocsf"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	prefix   = event.Prefix("wazuh.xdr")
	patience = time.Minute
)

var quick = timing{answer: 5 * time.Second, retry: 20 * time.Millisecond}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// testNode is a node that publishes, and the platform's server.
type testNode struct {
	testing.TB
	source  message.Source
	dir     string
	out     *outbox.Outbox
	remote  *remote.Remote
	js      jetstream.JetStream
	log     *testsupport.Log
	running *Republisher
	timing  timing
}

// runServer returns a server with JetStream of a domain, "" for none.
func runServer(t testing.TB, domain string, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, ServerName: "server" + domain,
		JetStream: true, JetStreamDomain: domain, StoreDir: t.TempDir()}
	if change != nil {
		change(opts)
	}
	s := natsserver.RunServer(opts)
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func newNode(t testing.TB) *testNode {
	t.Helper()
	s := runServer(t, "", nil)
	return newNodeAt(t, s, s, "")
}

// newNodeAt returns a node that is connected to one server, whose streams are at another.
func newNodeAt(t testing.TB, s, hub *server.Server, domain jsdomain.Domain) *testNode {
	t.Helper()
	n := &testNode{TB: t, source: message.Source{Node: "node01", Version: "test", Epoch: 1}, dir: t.TempDir(), log: new(testsupport.Log), timing: quick}
	_, n.js = testsupport.ConnectNATS(t, hub.ClientURL())
	var err error
	n.remote, err = remote.Open(remote.Config{URL: s.ClientURL(), Node: "node01", MaxReconnects: 3, ReconnectDelay: 20 * time.Millisecond, JetStreamDomain: domain, Log: slog.New(slog.DiscardHandler)})
	n.mustSucceed(err)
	t.Cleanup(n.remote.Close)
	n.out, err = outbox.Open(testContext(n), outbox.Config{Prefix: string(prefix), Dir: filepath.Join(n.dir, "outbox"), Log: slog.New(slog.DiscardHandler)})
	n.mustSucceed(err)
	t.Cleanup(func() { n.mustSucceed(n.out.Close()) })
	t.Cleanup(n.stop)
	return n
}

func (n *testNode) mustSucceed(err error) {
	n.Helper()
	if err != nil {
		n.Fatal(err)
	}
}

func (n *testNode) start() {
	n.Helper()
	var err error
	n.running, err = open(testContext(n), Config{Outbox: n.out, Remote: n.remote, Subject: "ocsf.wazuh", Node: "node01",
		KeyFile: filepath.Join(n.dir, "ocsf.key"), Log: slog.New(slog.NewTextHandler(n.log, nil))}, n.timing)
	n.mustSucceed(err)
}

func (n *testNode) stop() {
	n.Helper()
	if n.running != nil {
		n.mustSucceed(n.running.Close())
	}
	n.running = nil
}

func (n *testNode) makeStream() {
	n.Helper()
	_, err := n.js.CreateStream(testContext(n), jetstream.StreamConfig{Name: "OCSF", Subjects: []string{AllSubjects("ocsf.wazuh")}, Duplicates: time.Hour})
	n.mustSucceed(err)
}

// publishLosses has agents lost, and back.
func (n *testNode) publishLosses(ids ...string) {
	n.Helper()
	var all []outbox.Message
	for _, id := range ids {
		for _, c := range []event.StatusChange{
			{AgentID: id, PreviousStatus: event.Active, CurrentStatus: event.Disconnected, Reason: event.ConnectionLost},
			{AgentID: id, PreviousStatus: event.Disconnected, CurrentStatus: event.Active, Reason: event.Reconnected},
		} {
			c.AgentName, c.IPAddress, c.Timestamp, c.LastSeen = "web", "10.0.0.1", time.Now().Unix(), time.Now().Unix()
			m := event.StatusChangeMessage{StatusChange: c, Security: n.source.Stamp(prefix.StatusChange(id), time.Now())}
			data, err := json.Marshal(m)
			n.mustSucceed(err)
			all = append(all, outbox.Message{Class: outbox.Status, Subject: m.Security.Subject, ID: m.Security.ID(), Data: data})
		}
	}
	n.mustSucceed(n.out.Publish(testContext(n), all))
}

func (n *testNode) await(what string, done func(Stats) bool) {
	n.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for ctx := testContext(n); !done(n.running.Stats()); {
		select {
		case <-look.C:
		case <-ctx.Done():
			n.Fatalf("%s: %+v\n%s", what, n.running.Stats(), n.log)
		}
	}
}

// stored returns the events of the stream: subject, number of the message, type.
func (n *testNode) stored() (list []string) {
	n.Helper()
	stream, err := n.js.Stream(testContext(n), "OCSF")
	n.mustSucceed(err)
	for seq := uint64(1); seq <= stream.CachedInfo().State.LastSeq; seq++ {
		m, err := stream.GetMsg(testContext(n), seq)
		n.mustSucceed(err)
		var e ocsf.Event
		n.mustSucceed(json.Unmarshal(m.Data, &e))
		if m.Header.Get("Content-Type") != event.ContentType {
			n.Errorf("%v", m.Header)
		}
		list = append(list, fmt.Sprintf("%s %d %d", m.Subject, e.Metadata.Sequence, e.TypeUID))
	}
	return list
}

func ofAgent(list []string, id string) (of []string) {
	for _, s := range list {
		if rest, ok := strings.CutPrefix(s, "ocsf.wazuh.node01.agent."+id+" "); ok {
			of = append(of, rest)
		}
	}
	return of
}

func TestEveryEventIsStoredOnceAndInOrderWithoutAStreamAndOverRestarts(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.start()
	n.publishLosses("001", "002", "001")
	n.await("without a stream", func(s Stats) bool { return s.Problem != "" && s.Waiting == 6 && s.Published == 0 })
	n.stop()
	n.start()
	n.publishLosses("003")
	n.await("after a restart", func(s Stats) bool { return s.Problem != "" && s.Waiting == 8 })
	n.makeStream()
	n.await("with a stream", func(s Stats) bool { return s.Problem == "" && s.Waiting == 0 && s.Published == 12 })
	n.stop()

	// As after a crash before the position was saved.
	cursor := filepath.Join(n.dir, "outbox", "STATUS.ocsf.cursor")
	n.mustSucceed(os.WriteFile(cursor, []byte("0 f4dbdf21\n"), 0o600))
	n.start()
	n.publishLosses("002")
	n.await("what was stored is sent again", func(s Stats) bool { return s.Waiting == 0 && s.Published == 15 })

	got := n.stored()
	want := map[string][]string{"001": {"1 600299", "2 600299", "2 200403", "5 600299", "6 600299", "6 200403"},
		"002": {"3 600299", "4 600299", "4 200403", "9 600299", "10 600299", "10 200403"}, "003": {"7 600299", "8 600299", "8 200403"}}
	for id, events := range want {
		if diff := cmp.Diff(events, ofAgent(got, id)); diff != "" {
			t.Errorf("agent %s: %s", id, diff)
		}
	}
	if len(got) != 15 {
		t.Errorf("stored: %v", got)
	}
	if text := n.log.String(); strings.Count(text, "cannot be published") != 2 || !strings.Contains(text, "published again") {
		t.Errorf("logged:\n%s", text)
	}
}

func TestItBeginsWithWhatIsPublishedFromThenOn(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.makeStream()
	n.publishLosses("001")
	n.start()
	n.stop() // nothing was published
	n.publishLosses("002")
	n.start()
	n.await("published", func(s Stats) bool { return s.Waiting == 0 })
	if got := n.stored(); len(ofAgent(got, "001")) != 0 || len(ofAgent(got, "002")) != 3 {
		t.Errorf("stored: %v", got)
	}
}

func TestAMessageThatCannotBeReadKeepsNoOtherFromBeingPublished(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.makeStream()
	n.start()
	n.mustSucceed(n.out.Publish(testContext(t), []outbox.Message{{Class: outbox.Status, Subject: prefix.StatusChange("009"), ID: "x", Data: []byte("{")}}))
	n.publishLosses("001")
	n.await("published", func(s Stats) bool { return s.Waiting == 0 && s.Unreadable == 1 })
	if got := n.stored(); len(got) != 3 {
		t.Errorf("stored: %v", got)
	}
}

// Whoever reads the messages cannot make the stream drop the events as duplicates.
func TestTheIDOfAnEventCannotBeForeseenAndStaysTheSame(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ocsf.key")
	first, err := openIDSigner(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openIDSigner(path)
	if err != nil {
		t.Fatal(err)
	}
	other, err := openIDSigner(filepath.Join(t.TempDir(), "ocsf.key"))
	if err != nil {
		t.Fatal(err)
	}
	const id = "node01-1-1-ocsf1"
	if first.signID(id) != again.signID(id) || first.signID(id) == other.signID(id) {
		t.Errorf("%s, %s, of another node %s", first.signID(id), again.signID(id), other.signID(id))
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(path, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	anew, err := openIDSigner(path)
	if err == nil || !strings.Contains(err.Error(), "damaged") || anew.signID(id) == first.signID(id) {
		t.Errorf("damaged: %v", err)
	}
	if again, err := openIDSigner(path); err != nil || again.signID(id) != anew.signID(id) {
		t.Errorf("made anew: %v", err)
	}
}

// A leaf node's own stream may take the same events: what it acknowledges is not stored at the hub.
func TestAtALeafNodeOnlyTheHubConfirmsEvents(t *testing.T) {
	t.Parallel()
	hub := runServer(t, "hub", func(o *server.Options) { o.LeafNode = server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT} })
	info, err := hub.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	to := &url.URL{Scheme: "nats-leaf", Host: fmt.Sprintf("127.0.0.1:%d", info.LeafNode.Port)}
	leaf := runServer(t, "leaf", func(o *server.Options) { o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{to}}} })
	n := newNodeAt(t, leaf, hub, "hub")
	n.timing.answer = 200 * time.Millisecond
	_, leafJS := testsupport.ConnectNATS(t, leaf.ClientURL())
	_, err = leafJS.CreateStream(testContext(t), jetstream.StreamConfig{Name: "LOCAL", Subjects: []string{AllSubjects("ocsf.wazuh")}})
	n.mustSucceed(err)
	n.start()
	n.publishLosses("001")
	n.await("without a stream at the hub", func(s Stats) bool { return s.Problem != "" && s.Published == 0 && s.Waiting == 2 })
	n.makeStream()
	n.await("with one", func(s Stats) bool { return s.Waiting == 0 && s.Published == 3 })
	if got := n.stored(); !slices.Equal(ofAgent(got, "001"), []string{"1 600299", "2 600299", "2 200403"}) {
		t.Errorf("stored: %v", got)
	}
}

func TestOnlyAStreamOfTheDomainConfirmsAnEvent(t *testing.T) {
	for _, tt := range []struct {
		text, status string
		ok, stored   bool
	}{
		{`{"stream":"OCSF","seq":1,"domain":"hub"}`, "", true, true},
		{`{"stream":"OCSF","seq":1,"domain":"hub","duplicate":true}`, "", true, true},
		{`{"stream":"LOCAL","seq":1,"domain":"leaf"}`, "", false, false},
		{`{"error":{"code":503,"err_code":10077,"description":"full"}}`, "", true, false},
		{`{"stream":"OCSF"}`, "", true, false},
		{`{`, "", true, false},
		{``, "503", true, false},
	} {
		m := &nats.Msg{Subject: "_INBOX.x.7", Data: []byte(tt.text), Header: nats.Header{"Status": {tt.status}}}
		number, problem, ok := parseAnswer("_INBOX.x", "hub", m)
		if ok != tt.ok || ok && (number != 7 || (problem == nil) != tt.stored) {
			t.Errorf("%s: %d, %v, %v", tt.text, number, problem, ok)
		}
	}
}

func FuzzParseAnswer(f *testing.F) {
	f.Add("_INBOX.x.1", `{"stream":"OCSF","seq":1}`, "")
	f.Add("_INBOX.x.", "", "503")
	f.Fuzz(func(t *testing.T, subject, data, status string) {
		m := &nats.Msg{Subject: subject, Data: []byte(data), Header: nats.Header{"Status": {status}}}
		if _, problem, ok := parseAnswer("_INBOX.x", "", m); ok && problem == nil && !strings.Contains(data, "{") {
			t.Errorf("%q on %s confirms", data, subject)
		}
	})
}

func TestOneEventOfASubjectIsUnderWayAtATime(t *testing.T) {
	t.Parallel()
	n := newNode(t)
	n.makeStream()
	nc, _ := testsupport.ConnectNATS(t, n.remoteURL())
	sub, err := nc.SubscribeSync("ocsf.wazuh.>")
	n.mustSucceed(err)
	n.mustSucceed(nc.Flush())
	session, err := n.remote.Session(testContext(t))
	n.mustSucceed(err)
	s, err := newSender(session, quick.answer)
	n.mustSucceed(err)
	defer s.close()
	events := []outgoing{{subject: "ocsf.wazuh.a", data: []byte("1")}, {subject: "ocsf.wazuh.a", data: []byte("2")}, {subject: "ocsf.wazuh.b", data: []byte("3")}}
	left, err := s.sendRound(testContext(t), events)
	if err != nil || len(left) != 1 || string(left[0].data) != "2" {
		t.Errorf("%v, %v", left, err)
	}
	left, err = s.sendRound(testContext(t), left)
	if err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
	var got []string
	for range events {
		m, err := sub.NextMsgWithContext(testContext(t))
		n.mustSucceed(err)
		got = append(got, string(m.Data))
	}
	if !slices.Equal(got, []string{"1", "3", "2"}) {
		t.Errorf("%v", got)
	}
}

func (n *testNode) remoteURL() string {
	n.Helper()
	session, err := n.remote.Session(testContext(n))
	n.mustSucceed(err)
	return session.Conn.ConnectedUrl()
}
