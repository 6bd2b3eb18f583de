package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/hint"
	"github.com/wazuh-pulse/pulse/internal/plural"
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
func (e *Errors) Error() string { return hint.Join(e.HintParts()) }

// HintParts returns one part per problem.
func (e *Errors) HintParts() []hint.Part {
	parts := make([]hint.Part, 0, len(e.List)+1)
	for _, err := range e.List {
		parts = append(parts, err.hintPart())
	}
	if e.More > 0 {
		parts = append(parts, hint.Part{Problem: "and " + plural.CountNoun(e.More, "more problem")})
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

// refuseUnknownElement refuses an element that a block of Pulse's own does not have.
func (ld *loader) refuseUnknownElement(b strictBlock, n *node) {
	if ld.errs.isFull() { // the problem is only counted, and needs no hint
		ld.errs.More++
		return
	}
	ld.addError(n.line, fmt.Sprintf("<%s>: unknown element <%s>", b.label, quoteBrief(n.name)), unknownElementHint(n.name, b))
}

func unknownElementHint(name string, b strictBlock) string {
	switch {
	case slices.Contains(strictBlocks, name), name == "remote", name == "cluster":
		return "it is a block of its own, directly inside <ossec_config>"
	case name == "manager_keepalive":
		return "it belongs into <remote>"
	}
	for _, block := range append([]string{"remote"}, strictBlocks...) {
		if lookupSetting(block+"/"+name) != nil {
			return fmt.Sprintf("it belongs into <%s>", strings.TrimPrefix(block, "remote/"))
		}
	}
	if name == groupElement {
		return "it belongs into <manager_keepalive>"
	}
	if name == silenceElement {
		return "it belongs into <pulse>"
	}
	if slices.Contains(selectorNames, name) {
		return "it belongs into an <agent_group> of <manager_keepalive>"
	}
	var known []string
	for _, s := range b.known {
		known = append(known, s.elementName())
	}
	if b.path == pathKeepAlive {
		known = append(known, groupElement)
	}
	if b.path == "pulse" {
		known = append(known, silenceElement)
	}
	if near := hint.FindNearest(name, known); near != "" {
		return fmt.Sprintf("did you mean <%s>?", near)
	}
	if named := namesWithWord(name, known); len(named) > 0 {
		return "did you mean " + joinElementNames(named) + "?"
	}
	return "known here: " + strings.Join(known, ", ")
}

// refuseLostBlocks refuses an element of the manager, which is ignored, if it is or has a block that was meant for Pulse:
// the whole block would have no effect otherwise. Ours are the blocks that may be in its place.
func (ld *loader) refuseLostBlocks(n *node, ours ...string) {
	if isOwnBlock(n.name) && !slices.ContainsFunc(ours, func(own string) bool { return strings.EqualFold(own, n.name) }) {
		ld.refuseMisplacedBlock(n)
		return
	}
	if near := hint.FindNearest(n.name, ours); near != "" {
		ld.addError(n.line, fmt.Sprintf("<%s> is no block of Pulse", quoteBrief(n.name)), fmt.Sprintf("did you mean <%s>?", near))
		return
	}
	if lost := findOwnBlock(n); lost != nil {
		ld.refuseMisplacedBlock(lost)
	}
}

// refuseMisplacedBlock refuses a block of Pulse's own in a place where it is ignored.
func (ld *loader) refuseMisplacedBlock(n *node) {
	hint := "it is a block of its own, directly inside <ossec_config>"
	if strings.EqualFold(n.name, "manager_keepalive") {
		hint = "move it into the <remote> with <connection>secure</connection>"
	}
	ld.addError(n.line, fmt.Sprintf("<%s> is in a place where it has no effect", quoteBrief(n.name)), hint)
}

// warnIfMisspelt ignores an element of a manager's own file, with a warning if it looks like a misspelt one of Pulse.
func (ld *loader) warnIfMisspelt(n *node, ours ...string) {
	if len(ld.loaded.Warnings) == maxErrors {
		return
	}
	if near := hint.FindNearest(n.name, ours); near != "" {
		ld.loaded.Warnings = append(ld.loaded.Warnings, &Error{ld.file, n.line,
			fmt.Sprintf("<%s> is ignored", quoteBrief(n.name)), fmt.Sprintf("did you mean <%s>?", near)})
	}
}

// maxNamesOfWord bounds the names that a word of theirs is taken for.
const maxNamesOfWord = 4

// namesWithWord returns the known names of which a name is one word, as password is of password_file; none if there are many.
func namesWithWord(name string, known []string) (named []string) {
	for _, k := range known {
		if slices.Contains(strings.Split(k, "_"), strings.ToLower(name)) {
			named = append(named, k)
		}
	}
	if len(named) > maxNamesOfWord {
		return nil
	}
	return named
}
