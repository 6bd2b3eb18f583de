package natsserver

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

func TestLinesThatDifferInTheirNumbersAreOfOneKind(t *testing.T) {
	line := func(i int) string {
		return fmt.Sprintf("127.0.0.1:%d - cid:%d - Publish Violation - User %q, Subject %q", 40000+i, i, "reader", "x")
	}
	for i := range 1000 {
		if kindOfLine(line(i)) != kindOfLine(line(0)) {
			t.Fatal(line(i))
		}
	}
	if kindOfLine(line(0)) == kindOfLine("another") {
		t.Error("two kinds are one")
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
	nc, _ := testsupport.ConnectNATS(t, n.URL(), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	for i := range 5000 {
		if err := nc.Publish(fmt.Sprint("wazuh.xdr.agent.001.", i), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := nc.FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	if n := count("Violation"); n == 0 || n > 3 {
		t.Errorf("%d lines", n)
	}
}
