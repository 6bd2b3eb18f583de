package report

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wazuh-pulse/pulse/event"
)

// maxExpected bounds the file of expected agents.
const maxExpected = 64 << 20

// nameColumns are the headings of a column that has the agents' names, as foldHeading returns them.
var nameColumns = []string{"name", "agent name", "agent", "hostname", "host name", "host", "computer name", "computer", "device name", "device", "server name", "server",
	"machine name", "machine", "system name", "vm name", "fqdn", "dns name", "ci name", "asset name", "asset"}

// ReadExpected reads the names of the agents that should be there: a name a line, or a CSV file
// with a heading, of which the column is read that is called name, hostname or the like. The
// separator is a comma, a semicolon or a tab.
func ReadExpected(r io.Reader) ([]string, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxExpected+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxExpected {
		return nil, errors.New("it is larger than 64 MiB")
	}
	text = unmarkHeading(bytes.TrimPrefix(text, []byte("\ufeff")))
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
	c.FieldsPerRecord, c.LazyQuotes, c.Comment, c.TrimLeadingSpace, c.ReuseRecord = -1, lenient, '#', true, true
	c.Comma = findSeparator(text)
	for column := -1; ; {
		record, err := c.Read()
		if errors.Is(err, io.EOF) {
			return names, nil
		}
		if err != nil {
			return nil, err
		}
		line, _ := c.FieldPos(0)
		if i := slices.IndexFunc(record, func(cell string) bool { return lenient && strings.Contains(cell, "\n") }); i >= 0 {
			return nil, fmt.Errorf("line %d: a quotation mark opens a field there that does not end on that line", line)
		}
		if column < 0 {
			if column = findNameColumn(record); column >= 0 {
				continue
			}
			if isSeparatorLine(record[0]) || strings.TrimSpace(strings.Join(record, "")) == "" {
				continue
			}
			if len(record) > 1 && strings.Join(record[1:], "") != "" {
				return nil, fmt.Errorf("line %d: none of its %d columns is called name or hostname: give the column with the agents' names such a heading, or a name a line", line, len(record))
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

// isSeparatorLine reports whether a line's first field is that of a line with which spreadsheets
// say which separator follows.
func isSeparatorLine(first string) bool { return strings.HasPrefix(strings.ToLower(first), "sep=") }

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
	case strings.ContainsAny(name, "\",;|"):
		return fmt.Sprintf("%q has a separator or a quotation mark in it", name)
	}
	return ""
}

// unmarkHeading makes of a heading that begins with "#", for the numbers of lines, none that
// looks like a comment.
func unmarkHeading(text []byte) []byte {
	for line := range bytes.Lines(text) {
		cells := strings.FieldsFunc(string(line), func(r rune) bool { return strings.ContainsRune(",;\t", r) })
		switch {
		case line[0] == '#' && len(cells) > 1 && findNameColumn(cells) >= 0:
			return bytes.Replace(text, line, append([]byte{' '}, line[1:]...), 1)
		case line[0] != '#' && len(bytes.TrimSpace(line)) > 0:
			return text
		}
	}
	return text
}

// findSeparator returns what separates the columns: the first line that is no comment shows it.
func findSeparator(text []byte) rune {
	for line := range bytes.Lines(text) {
		if len(bytes.TrimSpace(line)) == 0 || line[0] == '#' {
			continue
		}
		for _, separator := range "\t;" {
			if bytes.ContainsRune(line, separator) {
				return separator
			}
		}
		break
	}
	return ','
}

func findNameColumn(heading []string) int {
	for _, want := range nameColumns {
		for i, cell := range heading {
			if foldHeading(cell) == want {
				return i
			}
		}
	}
	return -1
}

// foldHeading makes headings comparable: without case, and with spaces between words.
func foldHeading(cell string) string {
	cell = strings.Trim(strings.NewReplacer("_", " ", "-", " ").Replace(strings.ToLower(cell)), " #\"")
	return strings.Join(strings.Fields(cell), " ")
}

// SetExpected sets the names of the agents that should be in the fleet.
func (b *Builder) SetExpected(names []string) {
	b.expected = make(map[string]string, len(names))
	for _, name := range names {
		b.expected[foldName(name)] = name
	}
}

// foldName makes names comparable: without case, and without the dot at the end of a full name.
func foldName(name string) string { return strings.TrimSuffix(strings.ToLower(name), ".") }

// hostPart returns a name without its domain. An address has none.
func hostPart(folded string) string {
	if _, err := netip.ParseAddr(folded); err == nil {
		return folded
	}
	host, _, _ := strings.Cut(folded, ".")
	return host
}

// matchExpected matches the agents of the present fleet, by their index, with the expected names:
// those that are the same, and then those of which one is the other without its domain. One
// agent is one of them.
func (b *Builder) matchExpected(names []string) (agents []bool, missing []string) {
	agents = make([]bool, len(names))
	open := maps.Clone(b.expected)
	short := make(map[string][]string) // by host, what is open
	for i, name := range names {
		if _, ok := open[name]; ok {
			agents[i] = true
			delete(open, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(open)) {
		short[hostPart(name)] = append(short[hostPart(name)], name)
	}
	for i, name := range names {
		if agents[i] {
			continue
		}
		host := hostPart(name)
		for k, want := range short[host] {
			if name == host || want == host {
				agents[i] = true
				delete(open, want)
				short[host] = slices.Delete(short[host], k, k+1)
				break
			}
		}
	}
	return agents, slices.Collect(maps.Values(open))
}

// compareFleet compares the present fleet with what is expected.
func (b *Builder) compareFleet(r *Report) {
	if b.present == nil {
		return
	}
	r.NeverConnected = []Absent{}
	all := slices.SortedFunc(maps.Values(b.present), func(a, b *Agent) int { return compareIDs(a.ID, b.ID) })
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = foldName(a.Name)
		if a.Status == event.NeverConnected {
			r.NeverConnected = append(r.NeverConnected, Absent{ID: a.ID, Name: a.Name, Since: a.Since})
		}
	}
	if b.expected == nil {
		return
	}
	expected, missing := b.matchExpected(names)
	r.Missing = append([]string{}, missing...)
	slices.Sort(r.Missing)
	for i, a := range all {
		if !expected[i] {
			r.Unexpected = append(r.Unexpected, Absent{ID: a.ID, Name: a.Name, Since: a.Since})
		}
	}
}

// compareIDs orders agents' ids by their numbers.
func compareIDs(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) }
