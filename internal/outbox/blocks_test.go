package outbox

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/streamfiles"
)

// The server has the last file of a stream in memory while it is written to.
func TestStreamsAreStoredInFilesOfFourMiB(t *testing.T) {
	for c := range Class(classes) {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			o := mustOpen(t, Config{TelemetryLimit: 1 << 30})
			mustPublish(t, o, largeMessages(c, 60))
			files, err := filepath.Glob(filepath.Join(streamfiles.MessagesDir(o.cfg.Dir, c.String()), "*.blk"))
			if err != nil || len(files) != 2 {
				t.Fatalf("%q, %v", files, err)
			}
			for _, file := range files {
				info, err := os.Stat(file)
				if err != nil || info.Size() > 4<<20 {
					t.Errorf("%s has %d bytes, %v", file, info.Size(), err)
				}
			}
		})
	}
}

// largeMessages makes messages of 100 kB each.
func largeMessages(c Class, n int) []Message {
	msgs := messages(c, 1, n)
	for i := range msgs {
		msgs[i].Data = make([]byte, 100_000)
	}
	return msgs
}
