package inventory

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/listen"
)

// BenchmarkReadKeysAgain is the time from a change of a client.keys of 100000
// lines to its being in effect, with a detector at work: late-max-ms is by how
// much the latest sweep was late meanwhile.
func BenchmarkReadKeysAgain(b *testing.B) {
	const agents = 100_000
	for _, change := range []struct {
		name string
		of   func(agent, reading int) int // a number that is part of the agent's name
	}{
		{"one agent changed", func(agent, reading int) int { return reading % 2 * max(0, 2-agent) }},
		{"all agents changed", func(_, reading int) int { return reading % 2 }},
	} {
		b.Run(change.name, func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "client.keys")
			write := func(reading int) {
				var text strings.Builder
				for i := 1; i <= agents; i++ {
					fmt.Fprintf(&text, "%03d agent-%d-%d any %064x\n", i, change.of(i, reading), i, i)
				}
				if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
					b.Fatal(err)
				}
			}
			inv := watching(b)
			reading := 0
			read := func() {
				keys, problems, err := clientkeys.ReadFile(path)
				if err != nil || keys.Len() != agents {
					b.Fatal(keys.Len(), err)
				}
				inv.setReading(keys, problems)
			}
			write(reading)
			read()
			before := inv.Detector.Timings()
			for b.Loop() {
				b.StopTimer()
				reading++
				write(reading)
				b.StartTimer()
				read()
			}
			after := inv.Detector.Timings()
			late := after.Lateness.Since(&before.Lateness)
			b.ReportMetric(late.Quantile(1).Seconds()*1000, "late-max-ms")
		})
	}
}

// watching returns the inventory of a detector that runs, and of a link.
func watching(b *testing.B) *Inventory {
	k := config.Default().KeepAlive
	method, err := detector.ParseMethod(k.Method)
	if err != nil {
		b.Fatal(err)
	}
	set := detector.Settings{Group: detector.Group{Interval: k.Interval, Timeout: k.Timeout, MaxMissed: k.MaxMissed}, Method: method,
		RetryInterval: k.RetryInterval, SuspectTimeout: k.SuspectTimeout, ReconnectGrace: k.ReconnectGrace}
	clock := detector.NewClock()
	d := detector.New(set, clock, func([]detector.Decision) {})
	keys, _, err := clientkeys.Parse(strings.NewReader(""))
	if err != nil {
		b.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	link, err := listen.Listen(listen.Config{Addr: netip.MustParseAddrPort("127.0.0.1:0"), TCP: true, Method: set.Method, Keys: keys,
		Clock: clock, Report: d.Report, Log: log})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { d.Run(ctx) })
	b.Cleanup(func() { stop(); running.Wait(); link.Close() })
	return &Inventory{Detector: d, Link: link, Log: log, watched: agentsWatched{keys: new(clientkeys.Set)}}
}
