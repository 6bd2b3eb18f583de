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

// mark is by what a bucket is known again: when it was made, and the last thing
// that we wrote to it. A server that lost power may have lost the end of a stream.
type mark struct {
	Created  time.Time `json:"created"`
	Agent    string    `json:"agent,omitempty"` // the last one written
	Revision uint64    `json:"revision"`        // that it got
	Form     string    `json:"form,omitempty"`  // of the values
	contents           // when that was looked at last, with our own writes since
}

// loadMark returns none where there is none that can be read: the roster is
// written anew then, which costs only time.
func loadMark(file string, log *slog.Logger) (m mark) {
	text, err := os.ReadFile(file)
	if err == nil {
		m, err = parseMark(text)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("what is known of the roster's bucket cannot be read", "file", file, "err", err)
	}
	return m
}

func parseMark(text []byte) (m mark, err error) {
	if err := json.Unmarshal(text, &m); err != nil {
		return mark{}, err
	}
	if m.Agent != "" && !validID(m.Agent) {
		return mark{}, fmt.Errorf("agent %.20q", m.Agent)
	}
	return m, nil
}

// save replaces the file as a whole, and is on the disk when it returns: the
// reader's position, which is saved later, is never ahead of it.
func (m mark) save(file string) error {
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return atomicfile.Write(file, append(text, '\n'), 0o600)
}
