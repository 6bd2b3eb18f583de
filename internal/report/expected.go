package report

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/event"
)

// maxExpected bounds the file of expected agents.
const maxExpected = 64 << 20

// nameColumns are the headings, in lower case, of a column that has the agents' names.
var nameColumns = []string{"name", "agent_name", "agent", "hostname", "host", "computer", "computer name", "device", "device name", "asset"}

// ReadExpected reads the names of the agents that should be there: the column called name,
// hostname or the like of a CSV file with a heading, else the first of each line. The
// separator is a comma, a semicolon or a tab.
func ReadExpected(r io.Reader) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxExpected+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxExpected {
		return nil, errors.New("it is larger than 64 MiB")
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	c := csv.NewReader(bytes.NewReader(text))
	c.FieldsPerRecord, c.LazyQuotes, c.Comment, c.ReuseRecord = -1, true, '#', true
	c.Comma = findSeparator(text)
	column := -1
	var names []string
	for {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if column < 0 {
			if column = findNameColumn(record); column >= 0 {
				continue
			}
			column = 0
		}
		if column < len(record) {
			if name := strings.TrimSpace(record[column]); name != "" {
				names = append(names, name)
			}
		}
	}
	if len(names) == 0 {
		return nil, errors.New("it names no agent")
	}
	return names, nil
}

func findSeparator(text []byte) rune {
	first, _, _ := bytes.Cut(text, []byte("\n"))
	for _, separator := range "\t;" {
		if bytes.ContainsRune(first, separator) {
			return separator
		}
	}
	return ','
}

func findNameColumn(heading []string) int {
	for _, want := range nameColumns {
		for i, cell := range heading {
			if strings.EqualFold(strings.TrimSpace(cell), want) {
				return i
			}
		}
	}
	return -1
}

// SetExpected sets the names of the agents that should be in the fleet.
func (b *Builder) SetExpected(names []string) {
	b.expected = make(map[string]string, len(names))
	for _, name := range names {
		b.expected[foldName(name)] = name
	}
}

// foldName makes names comparable: without case, and without the domain of a host's name.
func foldName(name string) string {
	host, _, _ := strings.Cut(strings.ToLower(name), ".")
	return host
}

// compareFleet compares the present fleet with what is expected.
func (b *Builder) compareFleet(r *Report) {
	if b.present == nil {
		return
	}
	r.NeverConnected = []Absent{}
	there := make(map[string]bool, len(b.present))
	for _, a := range b.present {
		there[foldName(a.Name)] = true
		if a.Status == event.NeverConnected {
			r.NeverConnected = append(r.NeverConnected, Absent{ID: a.ID, Name: a.Name, Since: a.Since})
		}
		if _, is := b.expected[foldName(a.Name)]; b.expected != nil && !is {
			r.Unexpected = append(r.Unexpected, Absent{ID: a.ID, Name: a.Name, Since: a.Since})
		}
	}
	byID := func(a, b Absent) int { return strings.Compare(fmt.Sprintf("%09s", a.ID), fmt.Sprintf("%09s", b.ID)) }
	slices.SortFunc(r.NeverConnected, byID)
	slices.SortFunc(r.Unexpected, byID)
	if b.expected == nil {
		return
	}
	r.Missing = []string{}
	for folded, name := range b.expected {
		if !there[folded] {
			r.Missing = append(r.Missing, name)
		}
	}
	slices.Sort(r.Missing)
}
