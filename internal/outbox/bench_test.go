package outbox

import (
	"bytes"
	"flag"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/testsupport"
)

// agents is over how many agents the benchmarks spread. A million takes minutes and 2 GB of disk:
//
//	go test -run '^$' -bench Last -benchtime 1x ./internal/outbox -agents 1000000
var agents = flag.Int("agents", 100_000, "agents in benchmarks")

// numbered makes n messages of 400 bytes over all agents, from first on.
func numbered(c Class, first, n int) []Message {
	data := bytes.Repeat([]byte("x"), 400)
	msgs := messages(c, first, first+n-1)
	for i := range msgs {
		agent := (first + i) % *agents
		msgs[i].Subject = fmt.Sprintf("%s.manager.keepalive.%06d", prefix, agent)
		if c == Status {
			msgs[i].Subject = fmt.Sprintf("%s.agent.%06d.status_change", prefix, agent)
		}
		msgs[i].Data = data
	}
	return msgs
}

func BenchmarkPublish(b *testing.B) {
	for c := range Class(classes) {
		for _, size := range []int{1, 10, 100, 1000} {
			b.Run(fmt.Sprintf("%s by %d", c, size), func(b *testing.B) {
				o := mustOpen(b, Config{TelemetryLimit: 1 << 30})
				next := 0
				before := processorTime(b)
				for b.Loop() {
					mustPublish(b, o, numbered(c, next, size))
					next += size
				}
				b.ReportMetric(float64(next)/b.Elapsed().Seconds(), "msgs/s")
				b.ReportMetric(float64((processorTime(b)-before).Microseconds())/float64(next), "cpu-µs/msg")
			})
		}
	}
}

func usage(b *testing.B) (use syscall.Rusage) {
	b.Helper()
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return use
}

func processorTime(b *testing.B) time.Duration {
	use := usage(b)
	return time.Duration(use.Utime.Nano() + use.Stime.Nano())
}

func BenchmarkForward(b *testing.B) {
	const size = 20_000
	for b.Loop() {
		b.StopTimer()
		far := newFarSide(b, withJetStream)
		nc, js := testsupport.ConnectNATS(b, far.srv.ClientURL())
		storeAllSubjects(b, js, -1)
		done, err := nc.SubscribeSync(fmt.Sprintf("%s.manager.keepalive.%06d", prefix, size-1))
		if err != nil {
			b.Fatal(err)
		}
		dir := b.TempDir()
		o := mustOpen(b, Config{Dir: dir})
		mustPublish(b, o, numbered(Telemetry, 0, size))
		mustClose(b, o)
		b.StartTimer()
		o = mustOpen(b, Config{Dir: dir, Remote: far.remote()})
		if _, err := done.NextMsgWithContext(testContext(b)); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		mustClose(b, o)
		b.StartTimer()
	}
	b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "msgs/s")
}

// BenchmarkLast opens an outbox and reads back the last message of every agent,
// as a start does. Each agent has two, so that half of the stream is passed over.
func BenchmarkLast(b *testing.B) {
	dir := b.TempDir()
	o := mustOpen(b, Config{Dir: dir})
	const step = 10_000
	for n := 0; n < 2**agents; n += step {
		mustPublish(b, o, numbered(Status, n, min(step, 2**agents-n)))
	}
	mustClose(b, o)
	for b.Loop() {
		begin, busy := time.Now(), processorTime(b)
		o := mustOpen(b, Config{Dir: dir})
		opened := time.Now()
		n := 0
		err := o.ReadLast(b.Context(), prefix+".agent.*.status_change", func(string, []byte) error { n++; return nil })
		if err != nil || n != *agents {
			b.Fatal(n, err)
		}
		b.ReportMetric(opened.Sub(begin).Seconds(), "s/open")
		b.ReportMetric(time.Since(opened).Seconds(), "s/last")
		b.ReportMetric((processorTime(b) - busy).Seconds(), "cpu-s")
		mustClose(b, o)
	}
	b.ReportMetric(float64(usage(b).Maxrss)/1024, "peak-MiB")
}
