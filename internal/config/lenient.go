package config

import (
	"bytes"
	"slices"
	"strings"
)

// parseLenientXML reads the elements of a manager's ossec.conf as the manager's own
// reader does, which is no XML parser: bytes of any encoding, text and comments
// anywhere, several roots, comments that end with !>, "\<" for a < in a text. It
// also accepts what the manager refuses: an end tag without a start tag is skipped, and
// the end of the file closes all open elements. It never fails.
func parseLenientXML(data []byte) []*node {
	r := lenientReader{data: data, line: 1, open: []*node{new(node)}}
	for r.at < len(r.data) {
		switch rest := r.data[r.at:]; {
		case bytes.HasPrefix(rest, []byte(`\<`)):
			r.readText("<", 2)
		case rest[0] != '<':
			n := bytes.IndexAny(rest[1:], `<\`) + 1
			if n == 0 {
				n = len(rest)
			}
			r.readText(string(rest[:n]), n)
		case bytes.HasPrefix(rest, []byte("<!")):
			r.skipBytes(commentLength(rest))
		case bytes.HasPrefix(rest, []byte("<?")):
			r.skipBytes(tagLength(rest))
		default:
			r.readTag(rest)
		}
	}
	return r.open[0].children
}

// maxDepth limits nested elements; the manager's files have four.
const maxDepth = 32

type lenientReader struct {
	data []byte
	at   int
	line int
	open []*node // from the file itself to where the reader is
	over int     // elements open beyond the deepest
}

func (r *lenientReader) skipBytes(n int) {
	r.line += bytes.Count(r.data[r.at:r.at+n], []byte("\n"))
	r.at += n
}

func (r *lenientReader) readText(s string, n int) {
	if top := r.open[len(r.open)-1]; len(r.open) > 1 {
		top.text.WriteString(s)
	}
	r.skipBytes(n)
}

// readTag reads a tag, which opens or closes an element, or both.
func (r *lenientReader) readTag(rest []byte) {
	n := tagLength(rest)
	line := r.line
	inside := strings.TrimSuffix(string(rest[1:n]), ">")
	r.skipBytes(n)
	name, isEnd := strings.CutPrefix(inside, "/")
	name, empty := strings.CutSuffix(name, "/")
	name = strings.TrimSpace(name)
	name, attr, _ := strings.Cut(name, " ")
	switch {
	case isEnd:
		r.closeInnermostElement(name)
	case len(r.open) > maxDepth:
		if !empty {
			r.over++
		}
	default:
		top := r.open[len(r.open)-1]
		child := &node{name: name, line: line, rawAttr: attr}
		top.children = append(top.children, child)
		if !empty {
			r.open = append(r.open, child)
		}
	}
}

// closeInnermostElement closes the innermost element of that name, with all that is open in it.
func (r *lenientReader) closeInnermostElement(name string) {
	if r.over > 0 {
		r.over--
		return
	}
	for i := len(r.open) - 1; i > 0; i-- {
		if r.open[i].name == name {
			r.open = r.open[:i]
			return
		}
	}
}

// tagLength returns the length of the tag that data begins with: all of data if it has no end.
func tagLength(data []byte) int {
	if end := bytes.IndexByte(data, '>'); end >= 0 {
		return end + 1
	}
	return len(data)
}

// commentLength returns the length of the comment that data begins with: all of data if
// it has no end.
func commentLength(data []byte) int {
	for n := len("<!"); ; {
		end := bytes.IndexByte(data[n:], '>')
		if end < 0 {
			return len(data)
		}
		n += end + 1
		if text := data[len("<!") : n-1]; bytes.HasSuffix(text, []byte("--")) || bytes.HasSuffix(text, []byte("!")) {
			return n
		}
	}
}

// stockBlocks are blocks that only a manager's own file has.
var stockBlocks = []string{"global", "alerts", "logging", "rootcheck", "syscheck", "wodle", "sca", "vulnerability-detection", "vulnerability-detector",
	"indexer", "auth", "cluster", "ruleset", "rule_test", "command", "active-response", "localfile", "integration", "syslog_output"}

// parseManagerFile returns the elements of a file that has blocks of a manager and none
// of Pulse. What the manager accepts is accepted.
func parseManagerFile(data []byte) (roots []*node, ok bool) {
	roots = parseLenientXML(data)
	if hasOwnSettings(roots) {
		return nil, false
	}
	for _, root := range roots {
		ok = ok || slices.ContainsFunc(root.children, func(block *node) bool { return slices.Contains(stockBlocks, block.name) })
	}
	return roots, ok
}

// ownBlocks are the names of Pulse's own blocks.
var ownBlocks = []string{"nats", "pulse", "manager_keepalive"}

// isOwnBlock reports whether a name is that of a block of Pulse's own, in whatever case.
func isOwnBlock(name string) bool {
	return slices.ContainsFunc(ownBlocks, func(own string) bool { return strings.EqualFold(own, name) })
}

// hasOwnSettings reports whether a file has a block of Pulse's own, at whatever place, or Pulse's element of <cluster>,
// which a manager does not know.
func hasOwnSettings(roots []*node) bool {
	return slices.ContainsFunc(roots, func(root *node) bool {
		return findOwnBlock(root) != nil || slices.ContainsFunc(root.children, func(block *node) bool {
			return block.name == "cluster" && slices.ContainsFunc(block.children, func(c *node) bool { return c.name == "enabled" })
		})
	})
}

// findOwnBlock returns the first block of Pulse's own inside an element, nil for none.
func findOwnBlock(n *node) *node {
	for _, c := range n.children {
		if isOwnBlock(c.name) {
			return c
		}
		if found := findOwnBlock(c); found != nil {
			return found
		}
	}
	return nil
}

// readVariables returns the values of $NAME that <var name="NAME">value</var> sets.
func readVariables(roots []*node) map[string]string {
	vars := map[string]string{}
	for _, root := range roots {
		for _, n := range append([]*node{root}, root.children...) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(n.rawAttr), "name="); ok && n.name == "var" {
				vars["$"+strings.Trim(name, `"'`)] = n.trimmedText()
			}
		}
	}
	return vars
}
