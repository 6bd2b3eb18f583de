package message

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/atomicfile"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/outbox"
)

// SentAlerts has which alerts of the agents that are away were published, so that a
// restart neither repeats nor forgets one. A [Writer] keeps it, and it is kept in a file
// with the position in the stream up to which it is complete: the alerts after that are
// read from the stream. It is for one goroutine.
type SentAlerts struct {
	agents  map[detector.AgentID]sentAlert
	changed bool // since the last Save
}

// sentAlert is what was published of an agent since its last status change.
type sentAlert struct {
	awayFor uint32 // of the last alert: seconds; 0 of the loss's own
	changed uint32 // Unix time of its last change, while it flaps; 0: it does not
	alerted bool   // there was an alert of its loss
}

// NewSentAlerts returns one without any alert.
func NewSentAlerts() *SentAlerts {
	return &SentAlerts{agents: make(map[detector.AgentID]sentAlert)}
}

func (s *SentAlerts) set(id detector.AgentID, a sentAlert) {
	s.changed = true
	if a == (sentAlert{}) {
		delete(s.agents, id)
		return
	}
	s.agents[id] = a
}

// record adds a record, and whether it was published as an alert.
func (s *SentAlerts) record(r *Record, published bool) {
	a, known := s.agents[r.ID]
	switch r.Verdict {
	case detector.Changed:
		if !known && !published {
			return
		}
		a.alerted, a.awayFor = published, 0
		if at := unixSeconds(r.Time); a.changed != 0 && at-a.changed <= uint32(r.Group.FlapWindow/time.Second) {
			a.changed = at
		} else {
			a.changed = 0 // it was stable for a window
		}
	case detector.AlertReleased:
		a.alerted = true
	case detector.Escalated:
		a.alerted, a.awayFor = true, uint32(r.AwayFor/time.Second)
	case detector.Flapping:
		a.changed = unixSeconds(r.Time)
	default:
		return
	}
	s.set(r.ID, a)
}

func unixSeconds(t time.Time) uint32 { return uint32(max(t.Unix(), 0)) }

// sentFile is how it is written to the disk.
type sentFile struct {
	outbox.Position
	Number messageNumber `json:"number"` // of the last message
	Agents [][4]uint32   `json:"agents"` // ID, awayFor, changed, alerted
}

// messageNumber says which of two messages of a node is newer.
type messageNumber struct {
	Epoch    uint64 `json:"epoch"`
	Sequence uint64 `json:"sequence"`
}

func (n messageNumber) isAfter(other messageNumber) bool {
	return n.Epoch > other.Epoch || n.Epoch == other.Epoch && n.Sequence > other.Sequence
}

func numberOf(s *event.Security) messageNumber { return messageNumber{s.Epoch, s.Sequence} }

// IsUnsaved reports whether something changed since the last Save.
func (s *SentAlerts) IsUnsaved() bool { return s.changed }

// Save writes the file, with the alerts up to a position: that behind the last message of
// the source. If it fails, a file of before stays.
func (s *SentAlerts) Save(path string, at outbox.Position, source *Source) error {
	f := sentFile{Position: at, Number: messageNumber{source.Epoch, source.last}, Agents: make([][4]uint32, 0, len(s.agents))}
	for id, a := range s.agents {
		row := [4]uint32{uint32(id), a.awayFor, a.changed, 0}
		if a.alerted {
			row[3] = 1
		}
		f.Agents = append(f.Agents, row)
	}
	text, err := json.Marshal(&f)
	if err == nil {
		err = atomicfile.Write(path, text, 0o600)
	}
	s.changed = s.changed && err != nil
	return err
}

// readSentFile reads the file of an earlier run; nil if there is none.
func readSentFile(path string) (*sentFile, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f, err := parseSentFile(text)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return f, nil
}

func parseSentFile(text []byte) (*sentFile, error) {
	f := new(sentFile)
	if err := json.Unmarshal(text, f); err != nil {
		return nil, err
	}
	noID := func(row [4]uint32) bool { return row[0] == 0 }
	if f.Created.IsZero() || f.Number.Epoch == 0 || slices.ContainsFunc(f.Agents, noID) {
		return nil, errors.New("want a position in STATUS, the number of a message, and agents")
	}
	return f, nil
}
