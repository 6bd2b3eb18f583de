package outbox

import (
	"log/slog"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/streamfiles"
)

// BenchmarkRepair is what reading the whole store takes at each start.
func BenchmarkRepair(b *testing.B) {
	dir := b.TempDir()
	o := mustOpen(b, Config{Dir: dir})
	msgs := messages(Telemetry, 1, 200_000)
	for i := range msgs {
		msgs[i].Data = make([]byte, 400)
	}
	mustPublish(b, o, msgs)
	b.SetBytes(int64(o.Stats().Telemetry.Bytes))
	mustClose(b, o)
	for b.Loop() {
		if err := streamfiles.Repair(dir, slog.New(slog.DiscardHandler)); err != nil {
			b.Fatal(err)
		}
	}
}
