package config

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Error is one problem in one place of a settings file.
type Error struct {
	File    string // as it was given; empty for a default
	Line    int    // from 1; 0 if the problem is not in one line
	Problem string
	Hint    string // what to do about it; may be empty
}

// Error returns one line, "pulse.conf:12: <nats>: unknown element <sever_url>; did you mean <server_url>?".
func (e *Error) Error() string { return e.hintPart().String() }

// HintParts returns the place and the problem, and the hint.
func (e *Error) HintParts() []hint.Part { return []hint.Part{e.hintPart()} }

func (e *Error) hintPart() hint.Part {
	var b strings.Builder
	switch {
	case e.File != "" && e.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	case e.File != "":
		b.WriteString(e.File + ": ")
	}
	b.WriteString(e.Problem)
	return hint.Part{Problem: b.String(), Hint: e.Hint}
}

// maxErrors limits the listed problems; a file with more of them is the wrong file.
const maxErrors = 20

// Errors is every problem found, in the order of the files, at most 20 of them. errors.As finds the first [*Error].
type Errors struct {
	List []*Error
	More int // problems beyond the listed ones
}

// countProblems is the number of problems, listed or not.
func (e *Errors) countProblems() int { return len(e.List) + e.More }

func (e *Errors) isFull() bool { return len(e.List) == maxErrors }

func (e *Errors) addProblem(err *Error) {
	if e.isFull() {
		e.More++
		return
	}
	e.List = append(e.List, err)
}

// Error returns one line per problem.
func (e *Errors) Error() string {
	var lines []string
	for _, p := range e.HintParts() {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// HintParts returns one part per problem.
func (e *Errors) HintParts() []hint.Part {
	parts := make([]hint.Part, 0, len(e.List)+1)
	for _, err := range e.List {
		parts = append(parts, err.hintPart())
	}
	if e.More > 0 {
		parts = append(parts, hint.Part{Problem: fmt.Sprintf("and %d more problems", e.More)})
	}
	return parts
}

// Unwrap lets errors.Is and errors.As see the single problems.
func (e *Errors) Unwrap() []error {
	errs := make([]error, len(e.List))
	for i, err := range e.List {
		errs[i] = err
	}
	return errs
}

// errOrNil returns the problems as an error, nil if there are none.
func (e *Errors) errOrNil() error {
	if len(e.List) == 0 {
		return nil
	}
	return e
}

// hiddenSecret is printed instead of a secret.
const hiddenSecret = "xxxxx"

// userPart reaches from a scheme to the last @: greedy, as a password pasted into a wrong place may itself hold an @.
var userPart = regexp.MustCompile(`://.*@`)

const maxQuoted = 64 // runes

// quoteBrief returns a text from the file for a one-line message: short, without secrets and control characters.
func quoteBrief(s string) string {
	s = userPart.ReplaceAllString(strings.Join(strings.Fields(s), " "), "://"+hiddenSecret+"@")
	return printable.Brief(s, maxQuoted)
}
