package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
)

// BenchmarkLoss has the processor time of a loss that a whole node decides: with a probe of a real host, which refuses a
// connection, and without. Decided it is in the audit log; published it is also signed, stored, in the roster, an alert,
// and with a client.
func BenchmarkLoss(b *testing.B) {
	for _, published := range []bool{false, true} {
		for _, probe := range []bool{false, true} {
			b.Run(fmt.Sprintf("published=%v/probe=%v", published, probe), func(b *testing.B) { benchmarkLoss(b, published, probe) })
		}
	}
}

func benchmarkLoss(b *testing.B, published, probe bool) {
	n := openLossBench(b, published, probe)
	n.report(detector.SawKeepAlive, fleetOfBench)
	n.awaitStatus(b, fleetOfBench, detector.Active)
	want := detector.HostUnknown
	if probe {
		want = detector.HostAnswers
	}
	var spent int64
	for done := 0; done < b.N; done += lossesAtOnce {
		nextSecond := time.After(1100 * time.Millisecond) // until as many may be probed again
		began := readProcessorTime(b)
		n.report(detector.SawClosed, lossesAtOnce)
		n.awaitStatus(b, lossesAtOnce, detector.Disconnected)
		spent += readProcessorTime(b) - began
		for i := range lossesAtOnce {
			if r, _ := n.detector.Agent(detector.AgentID(i + 1)); r.Evidence == nil || r.Evidence.Host != want {
				b.Fatalf("%+v, want a host that %v", r, want)
			}
		}
		n.report(detector.SawKeepAlive, lossesAtOnce)
		n.awaitStatus(b, lossesAtOnce, detector.Active)
		<-nextSecond
	}
	losses := (b.N + lossesAtOnce - 1) / lossesAtOnce * lossesAtOnce
	b.ReportMetric(float64(spent)/1e3/float64(losses), "cpu-µs/loss")
}

// lossesAtOnce are as many as may be probed within a second.
const lossesAtOnce = hostprobe.MaxRate

// fleetOfBench is so large that the losses are no outage.
const fleetOfBench = 10 * lossesAtOnce

// lossBench is a node with agents that exist by what is reported of them alone.
type lossBench struct {
	*Node
	messages chan *nats.Msg // nil if nothing is published
}

func openLossBench(b *testing.B, published, probe bool) *lossBench {
	cfg := config.Default()
	dir := b.TempDir()
	cfg.Pulse.Home, cfg.Pulse.StateDir, cfg.Pulse.ClientKeys = dir, filepath.Join(dir, "state"), filepath.Join(dir, "client.keys")
	cfg.Pulse.NodeName, cfg.Pulse.HTTP, cfg.Pulse.Link = "node01", "", "listen"
	cfg.Remote.LocalIP, cfg.Remote.Port, cfg.NATS.Listen = netip.MustParseAddr("127.0.0.1"), 0, "127.0.0.1:0"
	cfg.KeepAlive.ReconnectGrace, cfg.KeepAlive.FlapThreshold, cfg.KeepAlive.HostProbe = 0, 100, probe
	cfg.KeepAlive.OutageShare, cfg.NATS.HighAlertThreshold = 100, 6 // each loss is an alert, with its probe or without
	var keys strings.Builder
	for i := range fleetOfBench {
		fmt.Fprintf(&keys, "%03d agent-%d any 11111111111111111111111111111111\n", i+1, i+1)
	}
	if err := os.WriteFile(cfg.Pulse.ClientKeys, []byte(keys.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	cfg.KeepAlive.HostProbePorts = []int{closed.Addr().(*net.TCPAddr).Port}
	_ = closed.Close()
	cfg.NATS.Enabled = published
	n := new(lossBench)
	if n.Node, err = Open(b.Context(), &cfg, "bench", slog.New(slog.DiscardHandler)); err != nil {
		b.Fatal(err)
	}
	if published {
		n.subscribe(b)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := n.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() {
		stop()
		running.Wait()
	})
	n.awaitCount(b, fleetOfBench, detector.NeverConnected)
	return n
}

// subscribe subscribes to the status changes.
func (n *lossBench) subscribe(b *testing.B) {
	client, err := nats.Connect(n.NATSURL())
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(client.Close)
	n.messages = make(chan *nats.Msg, 1<<12)
	if _, err := client.ChanSubscribe(event.Prefix(event.DefaultPrefix).StatusChange("*"), n.messages); err != nil {
		b.Fatal(err)
	}
	if err := client.Flush(); err != nil {
		b.Fatal(err)
	}
}

// report reports the same of the first agents.
func (n *lossBench) report(kind detector.Kind, agents int) {
	for i := 1; i <= agents; i++ {
		addr := netip.AddrFrom4([4]byte{127, 1, byte(i >> 8), byte(i)})
		n.detector.Report(detector.Sighting{At: n.clock.Now(), ID: detector.AgentID(i), Addr: addr, Kind: kind})
	}
}

// awaitCount waits until as many agents have a status, at hardly any cost.
func (n *lossBench) awaitCount(b *testing.B, agents int, status detector.Status) {
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for deadline := time.Now().Add(testTimeout); n.detector.Counts().ByStatus[status] < agents; <-look.C {
		if time.Now().After(deadline) {
			b.Fatalf("%+v, want %d that are %v", n.detector.Counts(), agents, status)
		}
	}
}

// awaitStatus waits until the first agents have a status, and for the message about each.
func (n *lossBench) awaitStatus(b *testing.B, agents int, status detector.Status) {
	want := agents
	if status == detector.Active {
		want = fleetOfBench
	}
	n.awaitCount(b, want, status)
	for range agents {
		if n.messages == nil {
			return
		}
		select {
		case <-n.messages:
		case <-time.After(testTimeout):
			b.Fatal("no message")
		}
	}
}

// readProcessorTime returns the processor time of this process, in nanoseconds.
func readProcessorTime(b *testing.B) int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
