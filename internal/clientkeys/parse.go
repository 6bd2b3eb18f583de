package clientkeys

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"
)

const (
	maxLine     = 4096    // bytes; Wazuh's own lines stay under 300
	maxFile     = 1 << 29 // bytes; five million agents
	maxProblems = 100     // kept one by one
)

// Problem is a line that was skipped because it is broken. Its text never
// contains the line's content.
type Problem struct {
	Line int // from 1; 0 in the last of very many, which only counts the rest
	Err  error
}

// Error is the problem with its line: "line 12: want 4 fields, have 3".
func (p Problem) Error() string {
	if p.Line == 0 {
		return p.Err.Error()
	}
	return fmt.Sprintf("line %d: %v", p.Line, p.Err)
}

// Unwrap is what is wrong with the line.
func (p Problem) Unwrap() error { return p.Err }

var (
	errLine      = fmt.Errorf("longer than %d bytes", maxLine)
	errID        = errors.New("id is not a decimal number of 3 to 8 digits, from 001")
	errDuplicate = errors.New("its id is on an earlier line already")
	errTooLarge  = fmt.Errorf("larger than %d MiB", maxFile>>20)
)

// Parse reads client.keys: per line `ID NAME IP KEY` (wazuh.md, section 1).
// Empty lines, comments and removed agents are skipped in silence, broken lines
// as problems (the first hundred, then one that counts the rest). Only a read
// that fails, or a file over 512 MiB, is an error.
func Parse(r io.Reader) (*Set, []Problem, error) {
	text, err := readAll(r, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("read client keys: %w", err)
	}
	set, problems := parse(text)
	return set, problems, nil
}

// readAll reads the whole text without holding it twice. The size is a guess.
func readAll(r io.Reader, size int64) (string, error) {
	var b strings.Builder
	b.Grow(int(min(max(size, 0), maxFile)))
	n, err := io.Copy(&b, io.LimitReader(r, maxFile+1))
	if err == nil && n > maxFile {
		err = errTooLarge
	}
	return b.String(), err
}

func parse(text string) (*Set, []Problem) {
	atMost := min(strings.Count(text, "\n"), len(text)/minLineLen) + 1
	s := &Set{
		text:   text,
		keys:   make([]Key, 0, atMost),
		byID:   make(map[uint32]int32, atMost),
		byAddr: make(map[[16]byte]int32),
	}
	var problems []Problem
	var rest int
	for line, number := "", 1; text != ""; number++ {
		line, text, _ = strings.Cut(text, "\n")
		err := s.parseLine(strings.TrimSuffix(line, "\r"))
		switch {
		case err == nil:
		case len(problems) < maxProblems:
			problems = append(problems, Problem{number, err})
		default:
			rest++
		}
	}
	if rest > 0 {
		problems = append(problems, Problem{0, fmt.Errorf("%d more broken lines", rest)})
	}
	return s, problems
}

// minLineLen is the length of the shortest good line: "001 a :: k" and its end.
const minLineLen = 11

// parseLine adds a line's agent, if the line names one. Its errors do not quote
// the line: in a broken one the secret may stand anywhere.
func (s *Set) parseLine(line string) error {
	if line == "" || line[0] == '#' || line[0] == ' ' {
		return nil
	}
	if len(line) > maxLine {
		return errLine
	}
	f, n := fields(line)
	if n > 1 && (f[1][0] == '!' || f[1][0] == '#') {
		return nil // a removed agent
	}
	if n != len(f) {
		return fmt.Errorf("want %d fields, have %d", len(f), n)
	}
	id, ok := parseID(f[0])
	if !ok {
		return errID
	}
	ip, err := ParseAddress(f[2])
	if err := cmp.Or(checkName(f[1]), err, checkSecret(f[3])); err != nil {
		return err
	}
	if !s.add(id, Key{ID: f[0], Name: f[1], IP: ip, Secret: f[3]}) {
		return errDuplicate
	}
	return nil
}

// fields splits a line at its spaces; n counts them all, also those beyond f.
func fields(line string) (f [4]string, n int) {
	for line != "" {
		var field string
		field, line, _ = strings.Cut(line, " ")
		if field == "" {
			continue
		}
		if n < len(f) {
			f[n] = field
		}
		n++
	}
	return f, n
}
