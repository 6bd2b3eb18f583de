package outbox

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/wazuh-pulse/pulse/internal/logonce"
)

// streamRoom keeps a stream within a limit: before more is stored, the oldest messages are
// removed. The server can do that itself, but would then store the stream in files of 8 MiB
// instead of 4, and have in memory, besides the last, the first, of which it removes a message
// for each that is stored. It is for one goroutine.
type streamRoom struct {
	stream  jetstream.Stream
	limit   int64 // bytes; 0 for none
	stored  int64 // at most
	problem logonce.Condition
}

const (
	// messageOverhead is at least what the server stores of a message besides its parts.
	messageOverhead = 64
	// headerOverhead is the same for each line of a header.
	headerOverhead = 4
	// removeMax is how many bytes are removed at a time, or a quarter of the limit if that is less:
	// two files. Each time the server reads the files, and holds one for some seconds.
	removeMax = 8 << 20
)

// storedBytes returns how many bytes a message takes in a stream, at most.
func storedBytes(m outgoing) int64 {
	n := messageOverhead + len(m.Subject) + len(m.Data)
	for name, values := range m.Header {
		for _, value := range values {
			n += headerOverhead + len(name) + len(value)
		}
	}
	return int64(n)
}

// fittingLength returns how many of msgs have room at once, at least one, and their bytes.
func (r *streamRoom) fittingLength(msgs []outgoing) (n int, bytes int64) {
	for n < len(msgs) {
		size := storedBytes(msgs[n])
		if n > 0 && bytes+size > r.limit/2 {
			break
		}
		bytes += size
		n++
	}
	return n, bytes
}

// makeRoom removes the oldest messages until there is room for more bytes.
func (r *streamRoom) makeRoom(ctx context.Context, bytes int64) error {
	for r.stored+bytes > r.limit {
		info, err := r.stream.Info(ctx)
		if err != nil {
			return fmt.Errorf("make room in a stream: %w", err)
		}
		s := &info.State
		r.stored = int64(s.Bytes)
		over := r.stored + bytes - r.limit
		if over <= 0 || s.Msgs == 0 {
			return nil
		}
		over = max(over, min(r.limit/4, removeMax))
		count := uint64(float64(over)/float64(s.Bytes)*float64(s.Msgs)) + 1
		if err := r.stream.Purge(ctx, jetstream.WithPurgeSequence(min(s.FirstSeq+count, s.LastSeq+1))); err != nil {
			return fmt.Errorf("make room in a stream: %w", err)
		}
	}
	return nil
}

// makeTelemetryRoom makes room for as many of msgs as are stored at once, and returns how many
// those are. If it cannot, the messages are stored nevertheless.
func (o *Outbox) makeTelemetryRoom(ctx context.Context, msgs []outgoing) int {
	r := &o.room
	if r.limit == 0 || o.Err() != nil {
		return len(msgs)
	}
	n, bytes := r.fittingLength(msgs)
	err := r.makeRoom(ctx, bytes)
	r.stored += bytes
	if ctx.Err() == nil && o.Err() == nil && r.problem.Set(err) && err != nil {
		o.log.Error("the oldest keep-alive events cannot be removed: their stream grows beyond <telemetry_limit>", "stream", Telemetry.String(), "err", err)
	}
	return n
}
