package outbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/internal/streamfiles"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

func TestPublishedMessagesAreStoredInOrderWithTheirHeaders(t *testing.T) {
	for _, size := range []int{1, 2, 1000, 1001, 4500} {
		for c := range Class(classes) {
			t.Run(fmt.Sprintf("%d of %s", size, c), func(t *testing.T) {
				o := mustOpen(t, Config{})
				msgs := messages(c, 1, size)
				mustPublish(t, o, msgs)
				if diff := cmp.Diff(ids(msgs), testsupport.WaitForStored(t, o.js, c.String(), size)); diff != "" {
					t.Error(diff)
				}
				m, err := o.streams[c].GetMsg(testContext(t), 1)
				if err != nil {
					t.Fatal(err)
				}
				if m.Subject != msgs[0].Subject || string(m.Data) != `{"n":1}` || m.Header.Get("Content-Type") != "application/json" {
					t.Errorf("first message is %+v", m)
				}
			})
		}
	}
}

func TestAMessagePublishedTwiceIsStoredOnce(t *testing.T) {
	o := mustOpen(t, Config{})
	for c := range Class(classes) {
		mustPublish(t, o, messages(c, 1, 3))
		mustPublish(t, o, messages(c, 1, 5)) // overlaps, as after a lost acknowledgement
		if diff := cmp.Diff(ids(messages(c, 1, 5)), testsupport.WaitForStored(t, o.js, c.String(), 5)); diff != "" {
			t.Errorf("%s: %s", c, diff)
		}
	}
}

// What is stored together is counted; the count has to be right again after what broke it.
func TestTheCountOfStoredMessagesSurvivesRepeatsAndRefusals(t *testing.T) {
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir})
	mustPublish(t, o, messages(Telemetry, 1, 10))
	mustPublish(t, o, messages(Telemetry, 6, 20)) // five are there
	refused := messages(Telemetry, 21, 30)
	refused[4].Subject = "elsewhere.x"
	ctx, cancel := context.WithTimeout(testContext(t), retryPause/2)
	defer cancel()
	if err := o.Publish(ctx, refused); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error is %v", err)
	}
	mustClose(t, o)
	o = mustOpen(t, Config{Dir: dir})
	if diff := cmp.Diff(append(ids(messages(Telemetry, 1, 24)), ids(messages(Telemetry, 26, 30))...), testsupport.WaitForStored(t, o.js, "TELEMETRY", 29)); diff != "" {
		t.Error(diff)
	}
	for from := 31; from < 40; from += 3 {
		msgs := encodeAll(messages(Telemetry, from, from+2))
		if err := o.storeTogether(testContext(t), Telemetry, msgs); err != nil {
			t.Errorf("from %d: %v", from, err)
		}
	}
	if err := o.storeTogether(testContext(t), Telemetry, encodeAll(messages(Telemetry, 39, 42))); !errors.Is(err, errNotAll) {
		t.Errorf("with one that is there: %v", err)
	}
}

func encodeAll(msgs []Message) (out []outgoing) {
	for i := range msgs {
		out = append(out, outgoing{EncodeMessage(&msgs[i]), msgs[i].Body})
	}
	return out
}

func TestALargePublishIsSplitByItsBytes(t *testing.T) {
	o := mustOpen(t, Config{})
	msgs := messages(Telemetry, 1, 40)
	for i := range msgs {
		msgs[i].Data = make([]byte, 1_000_000)
	}
	if n := windowLength(encodeAll(msgs)); n != 17 {
		t.Errorf("%d at once", n)
	}
	mustPublish(t, o, msgs)
	if s := o.Stats(); s.Telemetry.Messages != 40 {
		t.Errorf("stored %+v", s.Telemetry)
	}
}

func TestPublishNamesWhatNoStreamTakes(t *testing.T) {
	o := mustOpen(t, Config{})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := o.Publish(ctx, []Message{{Class: Status, Subject: "elsewhere.x", ID: "1"}})
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "publish to STATUS") || !strings.Contains(err.Error(), "elsewhere.x") {
		t.Errorf("error is %v", err)
	}
}

func TestStatusIsNotStoredBeforeTheMessageItFollows(t *testing.T) {
	o := mustOpen(t, Config{})
	msgs := messages(Status, 1, 100)
	msgs[49].Subject = "elsewhere.x" // which no stream takes, at first
	refused, stop := context.WithTimeout(testContext(t), 2*retryPause)
	defer stop()
	if err := o.Publish(refused, msgs); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "elsewhere.x") {
		t.Errorf("error is %v", err)
	}
	if diff := cmp.Diff(ids(msgs[:49]), testsupport.WaitForStored(t, o.js, "STATUS", 49)); diff != "" {
		t.Error("behind a refused one:", diff)
	}

	cfg := streamConfig(o.cfg, Status)
	cfg.Subjects = append(cfg.Subjects, "elsewhere.x")
	time.AfterFunc(retryPause/2, func() {
		if _, err := o.js.UpdateStream(testContext(t), cfg); err != nil {
			t.Error(err)
		}
	})
	mustPublish(t, o, msgs)
	if diff := cmp.Diff(ids(msgs), testsupport.WaitForStored(t, o.js, "STATUS", 100)); diff != "" {
		t.Error("when it is taken:", diff)
	}
}

func TestPublishEndsAtOnceWhenTheStoreHasFailed(t *testing.T) {
	o := mustOpen(t, Config{})
	o.server.Fail(errors.New("JetStream stream 'STATUS' critical write error: input/output error"))
	err := o.Publish(testContext(t), []Message{{Class: Status, Subject: "elsewhere.x"}})
	if err == nil || !strings.Contains(err.Error(), o.cfg.Dir) || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("error is %v", err)
	}
}

func TestPublishEndsForGoodWhenTheDiskDoesNotTakeASync(t *testing.T) {
	o := mustOpen(t, Config{})
	mustPublish(t, o, messages(Status, 1, 1))
	o.status = streamfiles.NewSyncer(o.cfg.Dir, "GONE")
	for i := 2; i < 4; i++ {
		err := o.Publish(testContext(t), messages(Status, i, i))
		if err == nil || !strings.Contains(err.Error(), "store in "+o.cfg.Dir) || !strings.Contains(err.Error(), "no such file") {
			t.Errorf("error is %v", err)
		}
	}
}

func TestPublishToAClosedOutboxFails(t *testing.T) {
	o := mustOpen(t, Config{})
	mustClose(t, o)
	if err := o.Publish(testContext(t), messages(Status, 1, 2)); err == nil || !strings.Contains(err.Error(), "connection closed") {
		t.Errorf("error is %v", err)
	}
}

func TestTelemetryIsBoundedAndStatusIsNot(t *testing.T) {
	o := mustOpen(t, Config{TelemetryLimit: 1 << 20})
	for c := range Class(classes) {
		msgs := messages(c, 1, 4000)
		for i := range msgs {
			msgs[i].Data = make([]byte, 1000)
		}
		mustPublish(t, o, msgs)
	}
	s := o.Stats()
	if s.Status.Messages != 4000 || s.Status.Published != 4000 {
		t.Errorf("status: %+v", s.Status)
	}
	if s.Telemetry.Bytes > 1<<20 || s.Telemetry.Messages == 0 || s.Telemetry.Published != 4000 {
		t.Errorf("telemetry: %+v", s.Telemetry)
	}
	left := testsupport.WaitForStored(t, o.js, "TELEMETRY", 1)
	if newest := left[len(left)-1]; newest != "node01-2-4000" {
		t.Errorf("newest telemetry is %s", newest)
	}
}

func TestLastGivesTheLastMessageOfEverySubject(t *testing.T) {
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir})
	first, second := messages(Status, 1, 5000), messages(Status, 1, 2500)
	for i := range second {
		second[i].ID += "b"
		second[i].Data = []byte("later")
	}
	alert := Message{Class: Status, Subject: prefix + ".alerts.fleet_outage", ID: "a", Data: []byte("alert")}
	mustPublish(t, o, append(append(first, alert), second...))
	mustClose(t, o)

	o = mustOpen(t, Config{Dir: dir})
	got := map[string]string{}
	var order []string
	if err := o.ReadLast(testContext(t), prefix+".agent.*.status_change", func(subject string, data []byte) error {
		got[subject] = string(data)
		order = append(order, subject)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(got) != 5000 || got[first[0].Subject] != "later" || got[first[4999].Subject] != `{"n":5000}` {
		t.Errorf("%d subjects, first %q, last %q", len(got), got[first[0].Subject], got[first[4999].Subject])
	}
	var want []string
	for _, m := range append(first[2500:], second...) {
		want = append(want, m.Subject)
	}
	if diff := cmp.Diff(want, order); diff != "" {
		t.Error("order:", diff)
	}
}

func TestLastOfNothingAndLastCutShort(t *testing.T) {
	o := mustOpen(t, Config{})
	stop := errors.New("stop")
	each := func(string, []byte) error { return stop }
	if err := o.ReadLast(testContext(t), prefix+".agent.*.status_change", each); err != nil {
		t.Errorf("of an empty stream: %v", err)
	}
	mustPublish(t, o, messages(Status, 1, 10))
	if err := o.ReadLast(testContext(t), prefix+".agent.*.status_change", each); err != stop {
		t.Errorf("error of each came back as %v", err)
	}
}

// A message that was lost between the local server and a reader is read again, and none twice:
// a node that reads a million of them must not fail to start for one.
func TestReadingGoesOnAfterAMessageThatWasLostOnTheWay(t *testing.T) {
	t.Parallel()
	stop := errors.New("stop")
	for _, c := range []struct {
		name  string
		reads []uint64 // up to where each reading came
		want  error
		calls int
	}{
		{"lost twice", []uint64{7, 9, 20}, nil, 3},
		{"nothing more is read", []uint64{7, 7, 20}, errSkipped, 2},
		{"nothing is read", []uint64{0, 20}, errSkipped, 1},
	} {
		calls := 0
		err := resumeSkipped(func(last *uint64) error {
			*last = c.reads[calls]
			calls++
			if *last == 20 {
				return nil
			}
			return fmt.Errorf("read: %w", errSkipped)
		})
		if !errors.Is(err, c.want) || calls != c.calls {
			t.Errorf("%s: %v after %d calls", c.name, err, calls)
		}
	}
	o := mustOpen(t, Config{})
	mustPublish(t, o, messages(Status, 1, 10))
	for name, cfg := range map[string]jetstream.ConsumerConfig{
		"all":             {Name: natsserver.LastConsumer},
		"of each subject": {Name: natsserver.LastConsumer, FilterSubject: prefix + ".agent.*.status_change", DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy},
	} {
		var got int
		last := uint64(4)
		if err := o.readConsumer(testContext(t), cfg, &last, func(string, []byte) error { got++; return nil }); err != nil || got != 6 || last != 10 {
			t.Errorf("%s: %d after the fourth, up to %d, %v", name, got, last, err)
		}
		last = 0
		if err := o.readConsumer(testContext(t), cfg, &last, func(string, []byte) error { return stop }); err != stop {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Who has read up to a position reads what came after it, and of another stream what is new.
func TestReadingGoesOnAfterAPosition(t *testing.T) {
	t.Parallel()
	o := mustOpen(t, Config{})
	alert := func(id string) Message {
		return Message{Class: Status, Subject: prefix + ".alerts.agent_disconnected", ID: id, Data: []byte(id)}
	}
	read := func(after Position, since time.Time) (got string) {
		t.Helper()
		subjects := []string{prefix + ".alerts.agent_disconnected", prefix + ".alerts.agent_flapping"}
		if err := o.ReadAfter(testContext(t), after, since, subjects, func(_ string, data []byte) { got += string(data) }); err != nil {
			t.Fatal(err)
		}
		return got
	}
	empty, err := o.StatusPosition(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := read(empty, time.Now()); got != "" {
		t.Errorf("of an empty stream: %q", got)
	}
	mustPublish(t, o, append(messages(Status, 1, 10), alert("a")))
	middle, err := o.StatusPosition(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	mustPublish(t, o, append(messages(Status, 11, 20), alert("b"), alert("c")))
	lost := middle
	lost.Sequence += 1000
	for _, c := range []struct {
		name  string
		after Position
		since time.Time
		want  string
	}{
		{"from the beginning", empty, time.Time{}, "abc"},
		{"from the middle", middle, time.Time{}, "bc"},
		{"of a stream that is gone", Position{Created: middle.Created.Add(time.Second), Sequence: 1}, time.Now().Add(-time.Hour), "abc"},
		{"of a stream that is gone, and nothing is new", Position{}, time.Now().Add(time.Hour), ""},
		{"of a stream that lost its end", lost, time.Now().Add(-time.Hour), "abc"},
	} {
		if got := read(c.after, c.since); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestANewPrefixOrLimitKeepsWhatIsStored(t *testing.T) {
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir, TelemetryLimit: 1 << 20})
	mustPublish(t, o, append(messages(Status, 1, 3), messages(Telemetry, 1, 3)...))
	mustClose(t, o)

	o = mustOpen(t, Config{Dir: dir, Prefix: "acme.soc", TelemetryLimit: 2 << 20})
	mustPublish(t, o, []Message{
		{Class: Status, Subject: "acme.soc.agent.004.status_change", ID: "4"},
		{Class: Telemetry, Subject: "acme.soc.manager.keepalive.004", ID: "4"},
	})
	for c := range Class(classes) {
		if diff := cmp.Diff(append(ids(messages(c, 1, 3)), "4"), testsupport.WaitForStored(t, o.js, c.String(), 4)); diff != "" {
			t.Errorf("%s: %s", c, diff)
		}
	}
	if o.room.limit != 2<<20 {
		t.Errorf("limit is %d", o.room.limit)
	}
}

func TestOpenRefusesInOneClearSentence(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	inUse := mustOpen(t, Config{}).cfg.Dir

	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"a port that is taken", Config{Listen: addr}, "listen on " + addr + " for NATS clients (<nats><listen>): address already in use"},
		{"an address without a port", Config{Listen: "localhost"}, "listen on localhost for NATS clients (<nats><listen>): want host:port"},
		{"a port out of range", Config{Listen: "localhost:70000"}, `port "70000": want 0 to 65535`},
		{"a file in the directory's place", Config{Dir: file}, file + ": not a directory"},
		{"a directory that cannot be made", Config{Dir: "/proc/outbox"}, "create outbox directory: mkdir /proc/outbox"},
		{"a directory that another one uses", Config{Dir: inUse}, "lock outbox directory " + inUse + ": another Pulse is using it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.cfg.Prefix, c.cfg.Log = prefix, slog.New(slog.DiscardHandler)
			if c.cfg.Dir == "" {
				c.cfg.Dir = t.TempDir()
			}
			o, err := Open(testContext(t), c.cfg)
			if o != nil || err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v\nwant %s", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("error tells a password: %v", err)
			}
		})
	}
}
