package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

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
	if first := bytes.TrimSpace(text); len(first) > 0 && (first[0] == '[' || first[0] == '{') && json.Valid(first) {
		return nil, errors.New("it is JSON: want CSV, or a name a line")
	}
	names, err := readNames(text, false)
	if errors.Is(err, csv.ErrQuote) || errors.Is(err, csv.ErrBareQuote) {
		names, err = readNames(text, true)
	}
	switch {
	case err != nil:
		return nil, err
	case len(names) == 0:
		return nil, errors.New("it names no agent")
	}
	return names, nil
}

// readNames reads the names of a CSV file. Lenient, it takes quotation marks that quote nothing as text; a field then has to
// end on its line, or a mark that is never closed would take the names of all lines behind it.
func readNames(text []byte, lenient bool) (names []string, err error) {
	c := csv.NewReader(bytes.NewReader(text))
	c.FieldsPerRecord, c.LazyQuotes, c.Comment, c.ReuseRecord = -1, lenient, '#', true
	c.Comma = findSeparator(text)
	for column := -1; ; {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(record, func(cell string) bool { return lenient && strings.Contains(cell, "\n") }); i >= 0 {
			line, _ := c.FieldPos(i)
			return nil, fmt.Errorf("line %d: a quotation mark opens a field there that does not end on that line", line)
		}
		if column < 0 {
			if column = findNameColumn(record); column >= 0 {
				continue
			}
			column = 0
		}
		if column >= len(record) {
			continue
		}
		name := strings.TrimSpace(record[column])
		if problem := findNameProblem(name); problem != "" {
			line, _ := c.FieldPos(column)
			return nil, fmt.Errorf("line %d: the name %s", line, problem)
		}
		if name != "" {
			names = append(names, name)
		}
	}
}

// maxExpectedName is the longest name of a host (RFC 1035), in bytes, which is more than an agent's may have.
const maxExpectedName = 253

// findNameProblem returns why a text is nobody's name, "" if it may be one.
func findNameProblem(name string) string {
	switch {
	case !utf8.ValidString(name):
		return "is not UTF-8 text: save the file as UTF-8"
	case strings.ContainsFunc(name, unicode.IsControl):
		return "has a control character, such as the end of a line"
	case len(name) > maxExpectedName:
		return fmt.Sprintf("is longer than %d bytes", maxExpectedName)
	}
	return ""
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
