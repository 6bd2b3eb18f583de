package outbox

import (
	"log/slog"
	"testing"
)

// BenchmarkMend is what looking through the store takes at each start.
func BenchmarkMend(b *testing.B) {
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
		if err := (&mender{dir, slog.New(slog.DiscardHandler)}).mend(); err != nil {
			b.Fatal(err)
		}
	}
}
