package audit

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"time"
)

// Line is one of a log.
type Line struct {
	Seq   uint64
	Time  time.Time
	Kind  string
	Agent string // whom it is about; "" for nobody, or for those of sums
	Text  []byte // the line itself, JSON; of use only until the next
}

// Filter picks lines. What is empty picks all.
type Filter struct {
	Since, Until time.Time // the first is in, the last is not
	Agent, Kind  string    // lines that sum up are about all their agents
}

func (f *Filter) matches(l *Line, summed string) bool {
	return (f.Since.IsZero() || !l.Time.Before(f.Since)) && (f.Until.IsZero() || l.Time.Before(f.Until)) &&
		(f.Agent == "" || f.Agent == l.Agent || summed != "" && inRanges(summed, f.Agent)) && (f.Kind == "" || f.Kind == l.Kind)
}

// clockSlack is by how much a file may seem to be older than its last line.
const clockSlack = time.Hour

// Read calls each with the lines of the log in a directory that a filter picks,
// oldest first. What is no line is passed over: [Verify] tells of it.
func Read(dir string, filter Filter, each func(*Line) error) error {
	files, err := list(dir)
	if err != nil {
		return err
	}
	for _, f := range files {
		if f.changed.Before(filter.Since.Add(-clockSlack)) {
			continue // its last line was written then
		}
		if err := readFile(f, filter, each); err != nil {
			return err
		}
	}
	return nil
}

// readFile calls each with the lines of one file that a filter picks.
func readFile(f file, filter Filter, each func(*Line) error) error {
	in, err := os.Open(f.path)
	if errors.Is(err, os.ErrNotExist) { // removed meanwhile
		return nil
	}
	if err != nil {
		return err
	}
	err = lines(in, func(text []byte, whole bool) error {
		h, err := parse(text)
		if err != nil || !whole {
			return nil
		}
		var about struct{ Agent, Agents string }
		_ = json.Unmarshal(text, &about) // another type of agent is nobody
		if h.Kind != KindKeepAlives {
			about.Agents = ""
		}
		l := &Line{h.Seq, h.Time, h.Kind, about.Agent, text}
		if !filter.matches(l, about.Agents) {
			return nil
		}
		return each(l)
	})
	return errors.Join(err, in.Close())
}

// Last returns the last line of a kind; nil for none.
func Last(dir, kind string) (last *Line, err error) {
	files, err := list(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	for i := len(files) - 1; i >= 0 && last == nil && err == nil; i-- {
		err = readFile(files[i], Filter{Kind: kind}, func(l *Line) error {
			found := *l
			found.Text = bytes.Clone(l.Text)
			last = &found
			return nil
		})
	}
	return last, err
}
