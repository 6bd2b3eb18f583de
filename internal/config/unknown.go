package config

import (
	"fmt"
	"slices"
	"strings"
)

// unknown refuses an element that a block of ours does not have.
func (ld *loader) unknown(block, n *node, path string) {
	if ld.errs.full() { // looking for near names is only worth it for what will be read
		ld.errs.More++
		return
	}
	ld.fail(n.line, fmt.Sprintf("<%s>: unknown element <%s>", block.name, quote(n.name)), unknownHint(n.name, path))
}

func unknownHint(name, path string) string {
	if slices.Contains(strictBlocks, name) {
		return "it is a block of its own, directly inside <ossec_config>"
	}
	for _, block := range strictBlocks {
		if lookup(block+"/"+name) != nil {
			return fmt.Sprintf("it belongs into <%s>", strings.TrimPrefix(block, "remote/"))
		}
	}
	known := namesIn(path)
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
