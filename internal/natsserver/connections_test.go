package natsserver

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

func TestIdleConnectionsLockNoReaderOut(t *testing.T) {
	t.Parallel()
	n := startNode(t, Config{Listen: "127.0.0.1:0"})
	for _, from := range []string{"127.0.0.1", "127.0.0.66", "127.0.0.67"} {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		for range connectionsMax {
			c, err := d.Dial("tcp", strings.TrimPrefix(n.URL(), "nats://"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = c.Close() })
			if _, err := io.WriteString(c, "CONNECT {\"verbose\":false}\r\nPING\r\n"); err != nil {
				continue
			}
		}
	}
	nc, js := testsupport.ConnectNATS(t, n.URL(), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	mustPublish(t, n, messages(StatusStream, 1, 1))
	ctx := testContext(t)
	for !nc.IsConnected() {
		select {
		case <-nc.StatusChanged(nats.CONNECTED):
		case <-ctx.Done():
			t.Fatal("never connected")
		}
	}
	if stream, err := js.Stream(ctx, "STATUS"); err != nil || stream.CachedInfo().State.Msgs != 1 {
		t.Errorf("%v", err)
	}
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for n.running().NumClients() > connectionsMax+10 {
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatalf("%d connections", n.running().NumClients())
		}
	}
}

func TestTheConnectionsUnusedLongestOfTheBusiestClientGiveWay(t *testing.T) {
	start := time.Unix(1716897300, 0)
	var all []*server.ConnInfo
	add := func(ip string, n int) {
		for range n {
			all = append(all, &server.ConnInfo{Cid: uint64(len(all)), IP: ip, LastActivity: start.Add(time.Duration(len(all)) * time.Second)})
		}
	}
	add("pipe", 5)
	add("10.0.0.1", 1)
	for i := range 20 {
		add(fmt.Sprintf("10.0.1.%d", i), 1)
	}
	add("10.0.0.66", connectionsPerClient+3)
	add("10.0.0.67", connectionsPerClient-1)
	victims := map[netip.Prefix]int{}
	for _, v := range excessConnections(all) {
		victims[v.client]++
		if v.cid > 26+20+connectionsPerClient*2 || v.client == netip.MustParsePrefix("10.0.0.1/32") {
			t.Errorf("%+v", v)
		}
	}
	a, b := victims[netip.MustParsePrefix("10.0.0.66/32")], victims[netip.MustParsePrefix("10.0.0.67/32")]
	if len(victims) != 2 || a+b != len(all)-5-connectionsMax {
		t.Errorf("%v of %d", victims, len(all))
	}
}
