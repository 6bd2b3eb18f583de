package message

import (
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// BenchmarkRestore reads back 100 000 agents that are away, each with its alert and three
// escalations in STATUS: with the file of the published alerts, and without it.
func BenchmarkRestore(b *testing.B) {
	const agents = 100_000
	r := openAlertRun(b)
	lost := detector.Decision{Verdict: detector.Changed, Name: "web", IP: "10.0.0.1", From: detector.Active, To: detector.Disconnected,
		Reason: detector.MissedKeepAlives, Missed: 3}
	for step := range len(escalateAfter) + 1 {
		if step > 0 {
			lost.Verdict, lost.Step, lost.AwayFor = detector.Escalated, step, escalateAfter[step-1]
		}
		for from := 0; from < agents; from += 1000 {
			batch := make([]detector.Decision, 1000)
			for i := range batch {
				batch[i] = lost
				batch[i].ID = detector.AgentID(from + i + 1)
			}
			r.publish(all, batch...)
		}
	}
	r.save()
	for _, c := range []struct {
		name string
		file bool
	}{{"with the file", true}, {"without the file", false}} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if !c.file {
					_ = os.Remove(r.file)
				}
				began := processorTime(b)
				restored, _, err := r.newReader().readAgents(b.Context(), newWallSeconds(detector.NewClock()))
				if err != nil || len(restored) != agents || restored[0].Step != len(escalateAfter) {
					b.Fatal(len(restored), err)
				}
				b.ReportMetric((processorTime(b) - began).Seconds(), "cpu-s/op")
			}
		})
	}
	r.writer.Sent.changed = true
	r.save()
	info, err := os.Stat(r.file)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("the file has %d bytes", info.Size())
}

// processorTime returns the processor time of this process, the embedded server's included.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
