package config

import (
	"fmt"
	"slices"
	"strings"
)

// refuseUnknownElement refuses an element that a block of Pulse's own does not have.
func (ld *loader) refuseUnknownElement(b strictBlock, n *node) {
	if ld.errs.isFull() { // the problem is only counted, and needs no hint
		ld.errs.More++
		return
	}
	ld.addError(n.line, fmt.Sprintf("<%s>: unknown element <%s>", b.label, quoteBrief(n.name)), unknownElementHint(n.name, b))
}

func unknownElementHint(name string, b strictBlock) string {
	if slices.Contains(strictBlocks, name) {
		return "it is a block of its own, directly inside <ossec_config>"
	}
	for _, block := range strictBlocks {
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
	if near := nearestKnownName(name, known); near != "" {
		return fmt.Sprintf("did you mean <%s>?", near)
	}
	return "known here: " + strings.Join(known, ", ")
}

// warnIfMisspelt ignores an element of the manager, with a warning if it looks like a misspelt one of Pulse: the whole
// block would have no effect otherwise, without any error.
func (ld *loader) warnIfMisspelt(n *node, ours ...string) {
	if len(ld.loaded.Warnings) == maxErrors {
		return
	}
	if near := nearestKnownName(n.name, ours); near != "" {
		ld.loaded.Warnings = append(ld.loaded.Warnings, &Error{ld.file, n.line,
			fmt.Sprintf("<%s> is ignored", quoteBrief(n.name)), fmt.Sprintf("did you mean <%s>?", near)})
	}
}

// maxName is longer than any known name; longer names are not compared.
const maxName = 40

// nearestKnownName returns the known name that was most likely meant, "" if none is near.
func nearestKnownName(name string, known []string) string {
	if len(name) > maxName {
		return ""
	}
	best, bestDistance := "", max(2, len(name)/3)+1
	for _, k := range known {
		if d := editDistance(name, k); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// editDistance is the number of bytes to insert, delete or change to get from a to b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j+1]+1, row[j]+1)
		}
	}
	return row[len(b)]
}
