package outbox

import (
	"bytes"
	"fmt"
	"testing"
)

// numbered makes n messages of 400 bytes over 100 000 agents, from first on.
func numbered(c Class, first, n int) []Message {
	data := bytes.Repeat([]byte("x"), 400)
	msgs := messages(c, first, first+n-1)
	for i := range msgs {
		agent := (first + i) % 100_000
		msgs[i].Subject = fmt.Sprintf("%s.manager.keepalive.%06d", prefix, agent)
		if c == Status {
			msgs[i].Subject = fmt.Sprintf("%s.agent.%06d.status_change", prefix, agent)
		}
		msgs[i].Data = data
	}
	return msgs
}

func BenchmarkPublish(b *testing.B) {
	for _, c := range []struct {
		name  string
		class Class
		size  int
	}{
		{"status one by one", Status, 1},
		{"status by 1000", Status, 1000},
		{"telemetry by 1000", Telemetry, 1000},
		{"telemetry by 10000", Telemetry, 10000},
	} {
		b.Run(c.name, func(b *testing.B) {
			o := mustOpen(b, Config{TelemetryLimit: 1 << 30})
			next := 1
			for b.Loop() {
				mustPublish(b, o, numbered(c.class, next, c.size))
				next += c.size
			}
			b.ReportMetric(float64(next)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}

func BenchmarkForward(b *testing.B) {
	const size = 20_000
	for b.Loop() {
		b.StopTimer()
		far := newFarSide(b, withJetStream)
		nc, js := connect(b, far.srv.ClientURL())
		takeAll(b, js, -1)
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

func BenchmarkLast(b *testing.B) {
	const subjects = 100_000
	o := mustOpen(b, Config{})
	mustPublish(b, o, numbered(Status, 1, subjects))
	for b.Loop() {
		n := 0
		err := o.Last(testContext(b), prefix+".agent.*.status_change", func(string, []byte) error { n++; return nil })
		if err != nil || n != subjects {
			b.Fatal(n, err)
		}
	}
}
