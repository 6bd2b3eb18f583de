package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/remote"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// storeAllSubjects makes a stream at the far side that takes all our messages.
func storeAllSubjects(t testing.TB, js jetstream.JetStream, limit int64) {
	t.Helper()
	if _, err := js.CreateOrUpdateStream(testContext(t), jetstream.StreamConfig{
		Name: "XDR", Subjects: []string{prefix + ".>"}, MaxMsgs: limit, Discard: jetstream.DiscardNew,
	}); err != nil {
		t.Fatal(err)
	}
}

// subscribeAll subscribes at the far side, without JetStream.
func subscribeAll(t testing.TB, nc *nats.Conn) *nats.Subscription {
	t.Helper()
	sub, err := nc.SubscribeSync(prefix + ".>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return sub
}

// awaitMessages waits until sub has had n different messages. They come in order, but
// may come again.
func awaitMessages(t testing.TB, sub *nats.Subscription, want []string) {
	t.Helper()
	ctx := testContext(t)
	seen := map[string]bool{}
	for len(seen) < len(want) {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			t.Fatalf("heard %d messages, want %d: %v", len(seen), len(want), err)
		}
		id := m.Header.Get(jetstream.MsgIDHeader)
		if next := want[len(seen)]; !seen[id] && id != next {
			t.Fatalf("heard %s, want %s next", id, next)
		}
		seen[id] = true
	}
}

func TestForwardingKeepsOrderAndHeaders(t *testing.T) {
	far := newFarSide(t, withJetStream)
	nc, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	storeAllSubjects(t, js, -1)
	sub := subscribeAll(t, nc)
	o := mustOpen(t, Config{Remote: far.remote()})
	msgs := messages(Status, 1, 1000) // a group: its own headers must stay at home
	mustPublish(t, o, msgs)
	if diff := cmp.Diff(ids(msgs), testsupport.WaitForStored(t, js, "XDR", len(msgs))); diff != "" {
		t.Error(diff)
	}
	for i := range msgs {
		m, err := sub.NextMsgWithContext(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		want := nats.Header{"Nats-Msg-Id": {msgs[i].ID}, "Content-Type": {"application/json"}}
		if diff := cmp.Diff(want, m.Header); diff != "" || m.Subject != msgs[i].Subject || string(m.Data) != string(msgs[i].Data) {
			t.Fatalf("%s %s %s", m.Subject, m.Data, diff)
		}
	}
}

func TestForwardingWithoutAStreamAtTheFarSide(t *testing.T) {
	for name, setup := range map[string]func(*server.Options){
		"JetStream without a stream": withJetStream,
		"no JetStream":               nil,
	} {
		t.Run(name, func(t *testing.T) {
			far := newFarSide(t, setup)
			nc, _ := testsupport.ConnectNATS(t, far.srv.ClientURL())
			sub := subscribeAll(t, nc)
			o := mustOpen(t, Config{Remote: far.remote()})
			msgs := messages(Telemetry, 1, 600)
			mustPublish(t, o, msgs)
			awaitMessages(t, sub, ids(msgs))
		})
	}
}

func TestNothingIsLostOrRepeatedAcrossOutages(t *testing.T) {
	outages := map[string]struct{ begin, end func(*farSide) }{
		"the server stops":                  {(*farSide).stop, (*farSide).start},
		"the network swallows all":          {func(f *farSide) { f.proxy.cut() }, func(f *farSide) { f.proxy.heal() }},
		"the connection is dropped at once": {func(f *farSide) { f.proxy.dropConns() }, func(*farSide) {}},
	}
	for name, outage := range outages {
		t.Run(name, func(t *testing.T) {
			far := newFarSide(t, withJetStream)
			nc, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
			storeAllSubjects(t, js, -1)
			sub := subscribeAll(t, nc)
			o := mustOpen(t, Config{Remote: far.remote()})

			const rounds, size = 2, 700
			for round := range rounds {
				mustPublish(t, o, messages(Status, round*size+1, (round+1)*size))
				// In the middle of what is under way:
				if _, err := sub.NextMsgWithContext(testContext(t)); err != nil {
					t.Fatal(err)
				}
				outage.begin(far)
				mustPublish(t, o, messages(Telemetry, round*size+1, (round+1)*size))
				outage.end(far)
				nc, js = testsupport.ConnectNATS(t, far.srv.ClientURL())
				sub = subscribeAll(t, nc)
				testsupport.WaitForStored(t, js, "XDR", 2*(round+1)*size)
			}
			checkEach(t, js, rounds*size)
		})
	}
}

// checkEach checks that XDR holds n messages of each class, once and in order.
func checkEach(t *testing.T, js jetstream.JetStream, n int) {
	t.Helper()
	for c, subject := range map[Class]string{Status: prefix + ".agent.>", Telemetry: prefix + ".manager.>"} {
		got := testsupport.WaitForStored(t, js, "XDR", n, subject)
		if diff := cmp.Diff(ids(messages(c, 1, n)), got); diff != "" {
			t.Errorf("%s: %s", c, diff)
		}
	}
}

func TestForwardingGoesOnWhereTheLastRunStopped(t *testing.T) {
	far := newFarSide(t, nil)
	nc, _ := testsupport.ConnectNATS(t, far.srv.ClientURL())
	sub := subscribeAll(t, nc)
	dir := t.TempDir()
	var want []string
	for run := range 4 {
		o := mustOpen(t, Config{Dir: dir, Remote: far.remote()})
		msgs := messages(Status, run*300+1, (run+1)*300)
		mustPublish(t, o, msgs)
		want = append(want, ids(msgs)...)
		mustClose(t, o) // with some of them forwarded, or all, or none
	}
	mustOpen(t, Config{Dir: dir, Remote: far.remote()})
	awaitMessages(t, sub, want)
}

func TestWhatWasForwardedIsNotForwardedAgain(t *testing.T) {
	far := newFarSide(t, nil)
	nc, _ := testsupport.ConnectNATS(t, far.srv.ClientURL())
	sub := subscribeAll(t, nc)
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir, Remote: far.remote()})
	mustPublish(t, o, messages(Status, 1, 300))
	awaitMessages(t, sub, ids(messages(Status, 1, 300)))
	waitForwarded(t, o, Status, 300)
	mustClose(t, o)

	o = mustOpen(t, Config{Dir: dir, Remote: far.remote()})
	mustPublish(t, o, messages(Status, 301, 301))
	if m, err := sub.NextMsgWithContext(testContext(t)); err != nil || m.Header.Get(jetstream.MsgIDHeader) != "node01-1-301" {
		t.Errorf("got %v, %v", m, err)
	}
}

// waitForwarded waits until the cursor has moved to seq, which comes last.
func waitForwarded(t *testing.T, o *Outbox, c Class, seq uint64) {
	t.Helper()
	for ctx := testContext(t); o.forwarders[c].reader.Confirmed() != seq; runtime.Gosched() {
		if ctx.Err() != nil {
			t.Fatalf("cursor never reached %d", seq)
		}
	}
}

func TestTheCursorStepsBackToATornStreamsEnd(t *testing.T) {
	far := newFarSide(t, nil)
	nc, _ := testsupport.ConnectNATS(t, far.srv.ClientURL())
	sub := subscribeAll(t, nc)
	dir := t.TempDir()
	if err := cursorFor(dir, "STATUS.cursor").saveSequence(1000); err != nil {
		t.Fatal(err)
	}
	o := mustOpen(t, Config{Dir: dir, Remote: far.remote()})
	mustPublish(t, o, messages(Status, 1, 5))
	awaitMessages(t, sub, ids(messages(Status, 1, 5)))
}

func TestAFarSideThatTakesNoMoreIsTriedUntilItDoes(t *testing.T) {
	far := newFarSide(t, withJetStream)
	_, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	storeAllSubjects(t, js, 10)
	book, log := newTestLog()
	any := quick
	any.confirm = 20 * time.Second // on a busy machine, a late answer would be the problem
	o, err := openOutbox(testContext(t), Config{Prefix: prefix, Dir: t.TempDir(), Log: log,
		Remote: far.remote(logTo(log), func(cfg *remote.Config) { cfg.Timeout, cfg.PingInterval = 20*time.Second, time.Minute })}, any)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, o) })
	mustPublish(t, o, messages(Status, 1, 20))
	book.WaitForLine(t, "the NATS server is unavailable")
	if !strings.Contains(book.String(), "problem=not_confirmed") || !strings.Contains(book.String(), "maximum messages exceeded; see there whether the stream is full") {
		t.Errorf("log says\n%s", book)
	}
	if s := o.Stats(); s.Status.Backlog == 0 || s.Connected || s.ForwardErrors < 3 {
		t.Errorf("while it is full: %+v", s)
	}
	storeAllSubjects(t, js, -1)
	got, want := testsupport.WaitForStored(t, js, "XDR", 20), ids(messages(Status, 1, 20))
	slices.Sort(got) // what waited has an order by agent only
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	book.WaitForLine(t, "takes messages again")
	waitForwarded(t, o, Status, 20)
	if s := o.Stats(); s.Status.Forwarded != 20 || s.Status.Backlog != 0 || !s.Connected {
		t.Errorf("at the end: %+v", s)
	}
}

func TestAnUnreachableFarSideIsSaidOnceAndTriedOn(t *testing.T) {
	far := newFarSide(t, nil)
	far.stop()
	book, log := newTestLog()
	told := make(chan string, 10)
	any := quick
	any.outage = time.Nanosecond // on a busy machine, publishing may take as long as the outage
	o, err := openOutbox(testContext(t), Config{Prefix: prefix, Dir: t.TempDir(), Remote: far.remote(logTo(log), withPassword(t)), Log: log,
		CaughtUp: func(c Class, messages uint64, after time.Duration) { told <- fmt.Sprint(c, messages, after > 0) }}, any)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { mustClose(t, o) })
	mustPublish(t, o, messages(Status, 1, 7))
	book.WaitForLine(t, "the NATS server is unavailable")
	far.start()
	book.WaitForLine(t, "connected to the NATS server")
	book.WaitForLine(t, `"caught up with the NATS server" stream=STATUS messages=7 after=`)
	if got := <-told; got != "STATUS 7 true" { // it is called behind the line
		t.Errorf("told %q", got)
	}
	if s := o.Stats(); s.Status.CaughtUp != 7 || len(told) != 0 {
		t.Errorf("%+v, told %d times more", s.Status, len(told))
	}
	for words, want := range map[string]int{"cannot reach": 1, "is unavailable": 1, "connected to": 1, "caught up": 1, "secret": 0} {
		if n := strings.Count(book.String(), words); n != want {
			t.Errorf("log says %q %d times, want %d:\n%s", words, n, want, book)
		}
	}
}

func TestStatusDoesNotWaitBehindTelemetry(t *testing.T) {
	far := newFarSide(t, withJetStream)
	nc, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	if _, err := js.CreateStream(testContext(t), jetstream.StreamConfig{Name: "STATUS", Subjects: []string{prefix + ".agent.>"}}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir})
	mustPublish(t, o, append(messages(Telemetry, 1, 20000), messages(Status, 1, 1)...))
	mustClose(t, o)

	sub := subscribeAll(t, nc)
	mustOpen(t, Config{Dir: dir, Remote: far.remote()})
	for n := 1; ; n++ {
		m, err := sub.NextMsgWithContext(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(m.Subject, "status_change") {
			return
		}
		if n == 10000 {
			t.Fatalf("%d messages of telemetry came before it", n)
		}
	}
}

func TestClosingDoesNotWaitForAFarSideThatIsSilent(t *testing.T) {
	far := newFarSide(t, nil)
	nc, _ := testsupport.ConnectNATS(t, far.srv.ClientURL())
	sub := subscribeAll(t, nc)
	o, err := openOutbox(testContext(t), Config{Prefix: prefix, Dir: t.TempDir(), Remote: far.remote(), Log: slog.New(slog.DiscardHandler)}, defaultTiming)
	if err != nil {
		t.Fatal(err)
	}
	mustPublish(t, o, messages(Status, 1, 1))
	awaitMessages(t, sub, ids(messages(Status, 1, 1)))
	far.proxy.cut()
	mustPublish(t, o, messages(Status, 2, 2))
	ctx, cancel := context.WithTimeout(t.Context(), defaultTiming.confirm-1)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- o.Close() }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-ctx.Done():
		t.Error("still closing")
		<-done
	}
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		pattern, subject string
		want             bool
	}{
		{"a.b", "a.b", true},
		{"a.b", "a.c", false},
		{"a.b", "a.b.c", false},
		{"a.b.c", "a.b", false},
		{"a.*", "a.b", true},
		{"a.*", "a", false},
		{"a.*.c", "a.b.c", true},
		{"a.*.c", "a.b.d", false},
		{"a.>", "a.b.c", true},
		{"a.>", "a", false},
		{">", "a.b", true},
	} {
		t.Run(fmt.Sprintf("%s and %s", c.pattern, c.subject), func(t *testing.T) {
			if got := matchesPattern(c.pattern, c.subject); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestALocalConnectionThatEndsLosesNothing(t *testing.T) {
	far := newFarSide(t, withJetStream)
	nc, js := testsupport.ConnectNATS(t, far.srv.ClientURL())
	storeAllSubjects(t, js, -1)
	sub := subscribeAll(t, nc)
	dir := t.TempDir()
	o := mustOpen(t, Config{Dir: dir})
	msgs := messages(Telemetry, 1, 10_000)
	mustPublish(t, o, msgs)
	mustClose(t, o)

	o = mustOpen(t, Config{Dir: dir, Remote: far.remote()})
	for range 3 {
		if _, err := sub.NextMsgWithContext(testContext(t)); err != nil {
			t.Fatal(err)
		}
		back := o.nc.StatusChanged(nats.CONNECTED)
		if err := o.nc.ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		<-back
	}
	if diff := cmp.Diff(ids(msgs), testsupport.WaitForStored(t, js, "XDR", len(msgs))); diff != "" {
		t.Error(diff)
	}
}
