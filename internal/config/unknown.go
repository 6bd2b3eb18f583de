package config

import (
	"fmt"
	"slices"
	"strings"
)

// unknown refuses an element that a block of ours does not have.
func (ld *loader) unknown(b block, n *node) {
	if ld.errs.full() { // looking for near names is only worth it for what will be read
		ld.errs.More++
		return
	}
	ld.fail(n.line, fmt.Sprintf("<%s>: unknown element <%s>", b.label, quote(n.name)), unknownHint(n.name, b))
}

func unknownHint(name string, b block) string {
	if slices.Contains(strictBlocks, name) {
		return "it is a block of its own, directly inside <ossec_config>"
	}
	for _, block := range strictBlocks {
		if lookup(block+"/"+name) != nil {
			return fmt.Sprintf("it belongs into <%s>", strings.TrimPrefix(block, "remote/"))
		}
	}
	if name == groupElement {
		return "it belongs into <manager_keepalive>"
	}
	if slices.Contains(selectorNames, name) {
		return "it belongs into an <agent_group> of <manager_keepalive>"
	}
	var known []string
	for _, s := range b.known {
		known = append(known, s.name())
	}
	if b.path == pathKeepAlive {
		known = append(known, groupElement)
	}
	if near := nearest(name, known); near != "" {
		return fmt.Sprintf("did you mean <%s>?", near)
	}
	return "known here: " + strings.Join(known, ", ")
}

// ignore passes over an element of the manager's, with a warning if it looks like one of ours misspelt: that mistake
// would otherwise leave a whole block without effect and without a word.
func (ld *loader) ignore(n *node, ours ...string) {
	if len(ld.loaded.Warnings) == maxErrors {
		return
	}
	if near := nearest(n.name, ours); near != "" {
		ld.loaded.Warnings = append(ld.loaded.Warnings, &Error{ld.file, n.line,
			fmt.Sprintf("<%s> is ignored", quote(n.name)), fmt.Sprintf("did you mean <%s>?", near)})
	}
}
