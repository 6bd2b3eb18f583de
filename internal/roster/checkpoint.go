package roster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/statedir"
)

// checkpoint identifies a bucket: by when it was made, and by the last value that we
// wrote to it. A server that lost power may have lost the end of a stream.
type checkpoint struct {
	Created        time.Time `json:"created"`
	Agent          string    `json:"agent,omitempty"` // the last one written
	Revision       uint64    `json:"revision"`        // that it got
	KeyFingerprint string    `json:"form,omitempty"`  // of the values
	contents                 // at the last check, with our own writes since
}

// loadCheckpoint returns a zero checkpoint where none can be read: the roster is
// then written anew, which costs only time.
func loadCheckpoint(file string, log *slog.Logger) (m checkpoint) {
	text, err := os.ReadFile(file)
	if err == nil {
		m, err = parseCheckpoint(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("what is known of the roster's bucket cannot be read", "file", file, "err", err)
	}
	return m
}

func parseCheckpoint(text []byte) (m checkpoint, err error) {
	if err := json.Unmarshal(text, &m); err != nil {
		return checkpoint{}, err
	}
	if m.Agent != "" && !isAgentID(m.Agent) {
		return checkpoint{}, fmt.Errorf("agent %.20q", m.Agent)
	}
	return m, nil
}

// saveCheckpointFile replaces the file as a whole, and is on the disk when it returns: the
// reader's position, which is saved later, is never ahead of it.
func (m checkpoint) saveCheckpointFile(file string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, append(text, '\n'), 0o600)
}

// resumeBucket continues behind what is in the bucket, or writes everything anew if it is
// another one or has lost something.
func (r *Roster) resumeBucket(ctx context.Context, b *bucket) error {
	same, err := b.containsCheckpoint(ctx, r.checkpoint)
	same = same && r.checkpoint.KeyFingerprint == r.keys
	if err != nil {
		return err
	}
	if same {
		r.reader.Rewind()
		return nil
	}
	r.log.Info("the roster of agents is written anew, from their present states")
	r.checkpoint = checkpoint{Created: b.created, KeyFingerprint: r.keys}
	return r.rewriteAllAgents(b)
}

// rewriteAllAgents reads the agents' present states from the beginning, and writes those
// that are not in the bucket.
func (r *Roster) rewriteAllAgents(b *bucket) error {
	if err := r.reader.StartOver(); err != nil {
		return err
	}
	b.forgetRevisions()
	r.puts.Store(0)
	r.added.Store(0)
	m := r.checkpoint
	m.contents = b.contents
	return r.saveCheckpoint(m)
}

// expectedBucketContents is what the bucket holds if nobody else has written to it or removed from it.
func (r *Roster) expectedBucketContents() contents {
	return contents{r.checkpoint.LastSeq + r.puts.Load(), r.checkpoint.Messages + r.added.Load()}
}

// saveCheckpoint saves the checkpoint. On a full disk it is in memory only: after a crash,
// some agents are read and compared again.
func (r *Roster) saveCheckpoint(m checkpoint) error {
	err := m.saveCheckpointFile(r.file)
	full := statedir.IsFull(err)
	switch {
	case full && !r.unsaved:
		r.log.Error("the disk is full: what was written to the bucket last is kept in memory", "err", err)
	case err != nil && !full:
		return fmt.Errorf("remember the roster's bucket: %w", err)
	}
	r.unsaved = full
	r.checkpoint = m
	return nil
}
