package natsserver

import (
	"errors"
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

func TestAServerThatStoresNoMoreSaysWhy(t *testing.T) {
	n := startNode(t, Config{})
	storing := n.Storing()
	n.log.Errorf("JetStream stream '%s' critical write error: %v", "STATUS", "input/output error")
	n.Fail(errors.New("later"))
	if err := n.Err(); err == nil || !strings.Contains(err.Error(), "store in "+n.cfg.Dir) || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("error is %v", err)
	}
	<-storing.Done()
	n.Stop()
	if err := n.Start(); err != nil || n.Err() != nil || n.Storing().Err() != nil {
		t.Errorf("started again: %v, %v", err, n.Err())
	}
}

func TestAReaderCannotFillTheLog(t *testing.T) {
	t.Parallel()
	log, count := countLines()
	n := startNode(t, Config{Listen: "127.0.0.1:0", Log: log})
	nc, _ := connect(t, n.URL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	for i := range 5000 {
		if err := nc.Publish(fmt.Sprint("wazuh.xdr.agent.001.", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := count("Violation"); n == 0 || n > linesPerMinute {
		t.Errorf("%d lines", n)
	}
}
