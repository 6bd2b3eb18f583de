// Package hint keeps what to do about an error apart from what is wrong, so that a
// command line can print the two on lines of their own, while a log line has both.
//
// It holds no state. Everything in it may be used concurrently.
package hint

import "strings"

// Part is one problem of an error and what to do about it.
type Part struct {
	Problem string
	Hint    string // empty if there is nothing to advise
}

// String returns one line, "problem; hint".
func (p Part) String() string {
	if p.Hint == "" {
		return p.Problem
	}
	return p.Problem + "; " + p.Hint
}

// Join returns one line for each part.
func Join(parts []Part) string {
	var lines []string
	for _, p := range parts {
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// Carrier is an error that consists of parts. Its text has all of them.
type Carrier interface {
	error
	HintParts() []Part
}

// hinted is an error with a hint.
type hinted struct {
	error
	hint string
}

// Add returns err with a hint, which its text has at the end, behind "; ".
func Add(err error, hint string) error {
	if err == nil || hint == "" {
		return err
	}
	return &hinted{err, hint}
}

func (h *hinted) Unwrap() error { return h.error }
func (h *hinted) Error() string { return h.error.Error() + "; " + h.hint }

// HintParts returns the parts of the error without the hint, and the hint in the last of them.
func (h *hinted) HintParts() []Part {
	parts := Split(h.error)
	last := &parts[len(parts)-1]
	if last.Hint != "" {
		last.Hint += "; "
	}
	last.Hint += h.hint
	return parts
}

// Split returns the parts of an error, at least one. What wraps a [Carrier] puts its
// own text before the first problem and behind the last; of an error that joins
// others each is a part.
func Split(err error) []Part {
	if c, ok := err.(Carrier); ok {
		return c.HintParts()
	}
	switch e := err.(type) {
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			return wrapped(err.Error(), inner)
		}
	case interface{ Unwrap() []error }:
		return joined(err.Error(), e.Unwrap())
	}
	return []Part{{Problem: err.Error()}}
}

// wrapped returns the parts of an error with this text that wraps another.
func wrapped(text string, inner error) []Part {
	before, after, found := strings.Cut(text, inner.Error())
	parts := Split(inner)
	if !found {
		return []Part{{Problem: text}}
	}
	parts[0].Problem = before + parts[0].Problem
	parts[len(parts)-1].Problem += after
	return parts
}

// joined returns the parts of several errors if a text is theirs, one a line.
func joined(text string, errs []error) (parts []Part) {
	var lines []string
	for _, err := range errs {
		lines = append(lines, err.Error())
		parts = append(parts, Split(err)...)
	}
	if len(parts) == 0 || text != strings.Join(lines, "\n") {
		return []Part{{Problem: text}}
	}
	return parts
}
