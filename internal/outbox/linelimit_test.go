package outbox

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

func TestLinesOfOneKindAreLoggedThreeTimesAMinute(t *testing.T) {
	var l lineLimit
	now := time.Unix(1716897300, 0)
	logged, reported := 0, 0
	for i := range 97_000 {
		if ok, leftOut := l.allowLine(fmt.Sprintf("127.0.0.1:%d - cid:%d - Publish Violation - User %q, Subject %q", 40000+i, i, "reader", "x"), now); ok {
			logged, reported = logged+1, reported+leftOut
		}
	}
	for i := range 1000 { // kinds as many as somebody likes
		if ok, leftOut := l.allowLine(strings.Repeat("x", i%100)+"!", now); ok {
			logged, reported = logged+1, reported+leftOut
		}
	}
	if logged > (lineKindsMax+1)*linesPerMinute {
		t.Errorf("%d lines", logged)
	}
	ok, leftOut := l.allowLine("another", now.Add(time.Minute))
	if !ok || logged+reported+leftOut != 98_000 {
		t.Errorf("a minute later: %v, %d lines, %d left out", ok, logged, reported+leftOut)
	}
}

func TestAReaderCannotFillTheLog(t *testing.T) {
	t.Parallel()
	book, log := newLogbook()
	o := mustOpen(t, Config{Listen: "127.0.0.1:0", Log: log})
	nc, _ := connect(t, o.URL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	for i := range 5000 {
		if err := nc.Publish(fmt.Sprint("wazuh.xdr.agent.001.", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(book.String(), "Violation"); n == 0 || n > linesPerMinute {
		t.Errorf("%d lines", n)
	}
}
