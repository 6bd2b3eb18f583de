package remote

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// limitedUser is a server's only user, who may publish and subscribe to some subjects.
func limitedUser(publish, subscribe []string) func(*server.Options) {
	return func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "node01", Password: "hunter2", Permissions: &server.Permissions{
				Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe}}},
			{Username: "all", Password: "hunter2"}}
	}
}

func TestATrialFindsWhatIsRefusedAndIsNeitherDeliveredNorStored(t *testing.T) {
	s := start(t, limitedUser([]string{"p.status.node01", "$JS.API.INFO"}, []string{"_INBOX.node01.>"}),
		func(o *server.Options) { o.JetStream, o.StoreDir = true, t.TempDir() })
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("all", "hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"p.>"}})
	if err != nil {
		t.Fatal(err)
	}
	heard, err := nc.SubscribeSync(">")
	if err != nil || nc.Flush() != nil {
		t.Fatal(err)
	}
	session, err := Dial(testContext(t), Config{URL: s.ClientURL(), Node: "node01", User: "node01", PasswordFile: secretFile(t, "hunter2")})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Conn.Close()
	refused, err := session.TryPublish(testContext(t), "p.status.node01", "p.status.node02")
	if err != nil || len(refused) != 1 || refused["p.status.node02"] == nil {
		t.Errorf("%v, %v", refused, err)
	}
	if err := session.TrySubscribe(testContext(t), "_INBOX.node01.x"); err != nil {
		t.Error(err)
	}
	if err := session.TrySubscribe(testContext(t), "_INBOX.node02.x"); !errors.Is(err, nats.ErrPermissionViolation) {
		t.Errorf("%v", err)
	}
	if session.User() != "node01" {
		t.Errorf("user %q", session.User())
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for n, _, _ := heard.Pending(); n > 0; n, _, _ = heard.Pending() {
		if m, err := heard.NextMsg(testTimeout); err != nil || m.Subject == "p.status.node01" || m.Subject == "p.status.node02" {
			t.Errorf("delivered: %v, %v", m, err)
		}
	}
	if info, err := stream.Info(t.Context()); err != nil || info.State.Msgs != 0 {
		t.Errorf("stored: %+v, %v", info, err)
	}
}

func TestATrialIsNoneWhereItCouldNotBeTraced(t *testing.T) {
	s := start(t, limitedUser([]string{"p.>"}, []string{"_INBOX.>"}))
	session, err := Dial(testContext(t), Config{URL: s.ClientURL(), User: "node01", PasswordFile: secretFile(t, "hunter2")})
	if err != nil {
		t.Fatal(err)
	}
	defer session.Conn.Close()
	if _, err := session.TryPublish(testContext(t), "p.x"); !errors.Is(err, ErrUntried) {
		t.Errorf("%v", err)
	}
	for version, want := range map[string]bool{"2.15.3": true, "2.11.0-RC.1": true, "2.10.29": false, "1.99": false, "3.0.1": true, "": false, "dev": false} {
		if traces(version) != want {
			t.Errorf("%q: %v", version, !want)
		}
	}
}

func TestWhatANodeCannotDoWithoutIsInTheStateWhileItIsRefused(t *testing.T) {
	s := start(t, limitedUser([]string{"p.>"}, []string{"_INBOX.node02.>"}))
	r, err := Open(Config{URL: s.ClientURL(), Node: "node01", User: "node01", PasswordFile: secretFile(t, "hunter2"), Needs: []string{"q.status.node01"}})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	session, err := r.Session(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"q.status.node01", "q.other"} {
		if err := session.Conn.Publish(subject, nil); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // listed once, whatever the inbox
		if _, err := session.Conn.SubscribeSync(session.Conn.NewInbox()); err != nil {
			t.Fatal(err)
		}
	}
	if err := session.RoundTrip(testContext(t)); err != nil {
		t.Fatal(err)
	}
	now := r.State()
	session.Published("q.other")
	if len(now.Refused) != 2 || now.Refused[0] != "publish to q.status.node01" || now.Refused[1] != "subscribe to _INBOX.node01.>" || now.User != "node01" {
		t.Errorf("%+v", now)
	}
	session.Published("q.status.node01")
	if now := r.State(); len(now.Refused) != 1 {
		t.Errorf("after it was published: %+v", now)
	}
}
