package daemon

import (
	"context"
	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
	"github.com/wazuh-pulse/pulse/internal/outbox"
	"github.com/wazuh-pulse/pulse/internal/sealing"
)

// BenchmarkPublishing is the time from a decision to the receipt of its message
// by a NATS client, over the embedded server with all it writes to disk. Of
// decisions that come at once, each counts from the moment of the first.
func BenchmarkPublishing(b *testing.B) {
	for _, load := range []struct {
		name    string
		verdict detector.Verdict
		atOnce  int
	}{
		{"a status change", detector.Changed, 1},
		{"10000 status changes at once", detector.Changed, 10_000},
		{"a keep-alive", detector.Acknowledged, 1},
		{"the 167 keep-alives of a sweep of 100000 agents", detector.Acknowledged, 167},
	} {
		b.Run(load.name, func(b *testing.B) {
			backlog, heard := publishing(b)
			var took []time.Duration
			for b.Loop() {
				decided := time.Now()
				for i := range load.atOnce {
					backlog.put(message.Record{Group: &message.Group{Interval: time.Minute, AlertThreshold: 8}, Decision: detector.Decision{Verdict: load.verdict, Time: decided, ID: detector.AgentID(i + 1), Name: "web-server-01",
						IP: "192.168.1.100", From: detector.Active, To: detector.Disconnected, Reason: detector.AgentShutdown}})
				}
				for range load.atOnce {
					<-heard
					took = append(took, time.Since(decided))
				}
			}
			slices.Sort(took)
			for name, q := range map[string]int{"p50-ms": 50, "p99-ms": 99, "max-ms": 100} {
				b.ReportMetric(took[(len(took)-1)*q/100].Seconds()*1000, name)
			}
		})
	}
}

// publishing starts the way from the backlog to a NATS client.
func publishing(b *testing.B) (*backlog, <-chan *nats.Msg) {
	prefix := event.Prefix(event.DefaultPrefix)
	out, err := outbox.Open(b.Context(), outbox.Config{Prefix: string(prefix), Dir: b.TempDir(), Listen: "127.0.0.1:0",
		TelemetryLimit: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	client, err := nats.Connect(out.URL())
	if err != nil {
		b.Fatal(err)
	}
	heard := make(chan *nats.Msg, 1<<16)
	for _, subject := range []string{prefix.KeepAlive("*"), prefix.StatusChange("*")} {
		if _, err := client.ChanSubscribe(subject, heard); err != nil {
			b.Fatal(err)
		}
	}
	if err := client.Flush(); err != nil {
		b.Fatal(err)
	}
	r := &recorder{backlog: newBacklog(), outbox: out, sealer: new(sealing.Sealer), audit: new(audittrail.Trail), status: func() (none Status) { return none }, log: slog.New(slog.DiscardHandler),
		statusLog: &statusLogger{log: slog.New(slog.DiscardHandler)},
		writer:    message.NewWriter(message.Source{Node: "node01", Version: "bench", Epoch: 1}, prefix), started: time.Now()}
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.run(context.Background()); err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(func() {
		r.backlog.close()
		running.Wait()
		client.Close()
		if err := out.Close(); err != nil {
			b.Error(err)
		}
	})
	return r.backlog, heard
}
