package roster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/wazuh-pulse/pulse/internal/atomicfile"
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

// saveFile replaces the file as a whole, and is on the disk when it returns: the
// reader's position, which is saved later, is never ahead of it.
func (m checkpoint) saveFile(file string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, append(text, '\n'), 0o600)
}
