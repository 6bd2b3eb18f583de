package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"time"
)

// Line is a line of a log.
type Line struct {
	Seq   uint64
	Time  time.Time
	Kind  string
	Agent string // the agent it is about; "" for none, and for sums
	Text  []byte // the line itself, JSON; valid until the next line
}

// Filter selects lines. An empty field selects all.
type Filter struct {
	Since, Until time.Time // Since is included, Until is not
	Agent, Kind  string    // sums are about all their agents
}

func (f *Filter) matchesLine(l *Line, summed string) bool {
	return (f.Since.IsZero() || !l.Time.Before(f.Since)) && (f.Until.IsZero() || l.Time.Before(f.Until)) &&
		(f.Agent == "" || f.Agent == l.Agent || summed != "" && isInRanges(summed, f.Agent)) && (f.Kind == "" || f.Kind == l.Kind)
}

// clockSlack is by how much a file may seem to be older than its last line.
const clockSlack = time.Hour

// Read calls each with the lines of the log in a directory that a filter selects,
// oldest first. Malformed lines are skipped: [Verify] reports them.
func Read(dir string, filter Filter, each func(*Line) error) error {
	files, err := listLogFiles(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.changed.Before(filter.Since.Add(-clockSlack)) {
			continue // its last line was written then
		}
		if err := readLogFile(f, filter, each); err != nil {
			return err
		}
	}
	return nil
}

// readLogFile calls each with the lines of one file that a filter selects.
func readLogFile(f logFile, filter Filter, each func(*Line) error) error {
	in, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) { // removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	err = scanFileLines(in, func(text []byte, whole bool) error {
		h, err := parseLineHeader(text)
		if err != nil || !whole {
			return nil
		}
		var about struct{ Agent, Agents string }
		_ = json.Unmarshal(text, &about) // another type of agent is none
		if h.Kind != KindKeepAlives {
			about.Agents = ""
		}
		l := &Line{h.Seq, h.Time, h.Kind, about.Agent, text}
		if !filter.matchesLine(l, about.Agents) {
			return nil
		}
		return each(l)
	})
	return errors.Join(err, in.Close())
}

// Last returns the last line of a kind; nil for none.
func Last(dir, kind string) (last *Line, err error) {
	files, err := listLogFiles(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for i := len(files) - 1; i >= 0 && last == nil && err == nil; i-- {
		err = readLogFile(files[i], Filter{Kind: kind}, func(l *Line) error {
			found := *l
			found.Text = bytes.Clone(l.Text)
			last = &found
			return nil
		})
	}
	return last, err
}
