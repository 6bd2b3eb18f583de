package clientkeys

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/plural"
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

// Describe returns the problem, and what comes of it.
func (p Problem) Describe() string {
	if p.Line == 0 {
		return p.Error() + ": skipped, and their agents not known"
	}
	return p.Error() + ": it is skipped, and its agent not known"
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
// that fails, or a file over 512 MiB, is an error. Memory is taken for agents
// alone, whatever else is in the file.
func Parse(r io.Reader) (*Set, []Problem, error) {
	set, problems, err := parseSet(r)
	if err != nil {
		return nil, nil, fmt.Errorf("read client keys: %w", err)
	}
	return set, problems, nil
}

func parseSet(r io.Reader) (*Set, []Problem, error) {
	s := &Set{byID: make(map[uint32]int32), byAddr: make(map[[16]byte]int32)}
	digest := sha256.New()
	limited := &io.LimitedReader{R: r, N: maxFile + 1}
	lines := lineReader{in: bufio.NewReaderSize(io.TeeReader(limited, digest), 2*maxLine)}
	var problems []Problem
	before := 0 // agents, without the last line
	for number := 1; ; number++ {
		line, err := lines.readLine()
		if err == io.EOF {
			break
		}
		before = len(s.keys)
		if err == nil {
			err = s.parseLine(line)
		} else if err != errLine {
			return nil, nil, err
		}
		if err == nil {
			continue
		}
		s.damaged = s.damaged || lines.nul || !lines.whole
		if s.broken++; s.broken <= maxProblems {
			problems = append(problems, Problem{number, err})
		}
	}
	if limited.N == 0 {
		return nil, nil, errTooLarge
	}
	if rest := s.broken - maxProblems; rest > 0 {
		problems = append(problems, Problem{0, errors.New(plural.CountNoun(rest, "more broken line"))})
	}
	s.keys, s.cut = slices.Clip(s.keys), !lines.whole
	s.cutKey = s.cut && before < len(s.keys)
	digest.Sum(s.digest[:0])
	return s, problems, nil
}

// lineReader reads line by line, and no more of a long line into memory than
// it takes to see that it is one.
type lineReader struct {
	in    *bufio.Reader
	whole bool // the last line read had its end
	nul   bool // one had a NUL byte
}

// readLine returns a line without its end; errLine for one that is too long, io.EOF
// after the last.
func (r *lineReader) readLine() (string, error) {
	line, err := r.in.ReadSlice('\n')
	if len(line) == 0 && err == io.EOF {
		return "", io.EOF
	}
	first := byte(0)
	if len(line) > 0 {
		first = line[0]
	}
	long := false
	for ; err == bufio.ErrBufferFull; line, err = r.in.ReadSlice('\n') {
		long, r.nul = true, r.nul || bytes.IndexByte(line, 0) >= 0
	}
	r.nul = r.nul || bytes.IndexByte(line, 0) >= 0
	if err != nil && err != io.EOF {
		return "", err
	}
	r.whole = err == nil
	if long {
		return "", longLineError(first)
	}
	line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte("\n")), []byte("\r"))
	if len(line) > maxLine {
		return "", longLineError(first)
	}
	return string(line), nil
}

// longLineError is the error of a line that is too long, nil if it is one to skip.
func longLineError(first byte) error {
	if isSkippedLine(first) {
		return nil
	}
	return errLine
}

// isSkippedLine reports whether lines that begin so are none of agents.
func isSkippedLine(first byte) bool { return first == '#' || first == ' ' }

// parseLine adds a line's agent, if the line names one. Its errors do not quote
// the line: in a broken one the secret may stand anywhere.
func (s *Set) parseLine(line string) error {
	if line == "" || isSkippedLine(line[0]) {
		return nil
	}
	f, n := splitFields(line)
	if n > 1 && (f[1][0] == '!' || f[1][0] == '#') {
		s.markRemoved(f[0])
		return nil
	}
	if n != len(f) {
		return fmt.Errorf("want %d fields, have %d", len(f), n)
	}
	id, ok := parseID(f[0])
	if !ok {
		return errID
	}
	ip, err := ParseAddress(f[2])
	if err := cmp.Or(checkAgentName(f[1]), err, checkKeySecret(f[3])); err != nil {
		return err
	}
	if !s.addKey(id, Key{ID: f[0], Name: f[1], IP: ip, Secret: f[3]}) {
		return errDuplicate
	}
	return nil
}

// splitFields splits a line at its spaces; n counts them all, also those beyond f.
func splitFields(line string) (f [4]string, n int) {
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
