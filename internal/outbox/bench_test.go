package outbox

import (
	"fmt"
	"log/slog"
	"testing"
)

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
			o, err := Open(b.Context(), Config{Prefix: "wazuh.xdr", Dir: b.TempDir(), TelemetryLimit: 1 << 30, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer o.Close()
			data := make([]byte, 400)
			next := 0
			for b.Loop() {
				msgs := make([]Message, c.size)
				for i := range msgs {
					next++
					subject := fmt.Sprintf("wazuh.xdr.manager.keepalive.%06d", next%100000)
					if c.class == Status {
						subject = fmt.Sprintf("wazuh.xdr.agent.%06d.status_change", next%100000)
					}
					msgs[i] = Message{Class: c.class, Subject: subject, ID: fmt.Sprintf("node01-1716897300-%d", next), ContentType: "application/json", Data: data}
				}
				if err := o.Publish(b.Context(), msgs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(next)/b.Elapsed().Seconds(), "msgs/s")
		})
	}
}
