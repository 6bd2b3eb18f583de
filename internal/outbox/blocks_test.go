package outbox

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/streamfiles"
)

// The server has the last file of a stream in memory while it is written to.
func TestStatusIsStoredInFilesOfFourMiB(t *testing.T) {
	o := mustOpen(t, Config{})
	msgs := messages(Status, 1, 60)
	for i := range msgs {
		msgs[i].Data = make([]byte, 100_000)
	}
	mustPublish(t, o, msgs)
	files, err := filepath.Glob(filepath.Join(streamfiles.MessagesDir(o.cfg.Dir, Status.String()), "*.blk"))
	if err != nil || len(files) != 2 {
		t.Fatalf("%q, %v", files, err)
	}
	for _, file := range files {
		info, err := os.Stat(file)
		if err != nil || info.Size() > 4<<20 {
			t.Errorf("%s has %d bytes, %v", file, info.Size(), err)
		}
	}
}
