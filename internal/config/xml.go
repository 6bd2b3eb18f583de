package config

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// node is an element of the file.
type node struct {
	name     string
	line     int // of its <
	attrs    []xml.Attr
	rawAttr  string          // set by parseLenientXML: the attributes as written
	text     strings.Builder // all text directly inside, comments removed
	textLine int             // of the first text that is not white space
	children []*node
}

func (n *node) trimmedText() string { return strings.TrimSpace(n.text.String()) }

var errEncoding = errors.New("the declared encoding is not UTF-8")

// parseXML reads the root elements of a file. It is as lenient as Wazuh's own reader where ossec.conf files rely on it
// (several roots, a bare & in a command, dashes in a comment) and strict about nesting, which a lenient decoder
// would repair silently. Its error is an *Error without a file.
func parseXML(data []byte) ([]*node, *Error) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	if line := firstBadUTF8Line(data); line > 0 {
		return nil, &Error{Line: line, Problem: "not UTF-8 text", Hint: "save the file as UTF-8"}
	}
	data, unclosed := softenCommentDashes(data)
	if unclosed > 0 {
		return nil, &Error{Line: unclosed, Problem: "the comment that starts here never ends", Hint: "close it with -->"}
	}
	dec := xml.NewDecoder(bytes.NewReader(data))
	dec.Strict = false // raw tokens are checked for nesting below
	dec.CharsetReader = acceptASCIICharset
	t := nodeTree{root: new(node)}
	t.open = []*node{t.root}
	for {
		line, _ := dec.InputPos()
		tok, err := dec.RawToken()
		if err == io.EOF {
			return t.root.children, t.checkAllClosed()
		}
		if err != nil {
			return nil, xmlError(err, line)
		}
		if err := t.addToken(tok, line); err != nil {
			return nil, err
		}
	}
}

// nodeTree is a tree of nodes being built; open is the path to where the reader is.
type nodeTree struct {
	root *node
	open []*node
}

func (t *nodeTree) addToken(tok xml.Token, line int) *Error {
	top := t.open[len(t.open)-1]
	switch tok := tok.(type) {
	case xml.StartElement:
		n := &node{name: qualifiedXMLName(tok.Name), line: line, attrs: tok.Attr}
		top.children = append(top.children, n)
		t.open = append(t.open, n)
	case xml.EndElement:
		name := qualifiedXMLName(tok.Name)
		if top == t.root {
			return &Error{Line: line, Problem: fmt.Sprintf("</%s> closes nothing", quoteBrief(name))}
		}
		if top.name != name {
			return &Error{Line: line, Problem: fmt.Sprintf("</%s> closes <%s> of line %d", quoteBrief(name), quoteBrief(top.name), top.line),
				Hint: fmt.Sprintf("close it with </%s>", quoteBrief(top.name))}
		}
		t.open = t.open[:len(t.open)-1]
	case xml.CharData:
		if blank := len(tok) - len(bytes.TrimSpace(tok)); blank < len(tok) {
			if top == t.root {
				return &Error{Line: line + countLeadingLines(tok), Problem: "text outside of any element", Hint: "settings live inside <ossec_config>"}
			}
			if top.textLine == 0 {
				top.textLine = line + countLeadingLines(tok)
			}
		}
		top.text.Write(tok)
	}
	return nil
}

// checkAllClosed returns an error if an element is open at the end of the file.
func (t *nodeTree) checkAllClosed() *Error {
	if len(t.open) == 1 {
		return nil
	}
	top := t.open[len(t.open)-1]
	return &Error{Line: top.line, Problem: fmt.Sprintf("<%s> is never closed", quoteBrief(top.name)),
		Hint: fmt.Sprintf("close it with </%s>", quoteBrief(top.name))}
}

func qualifiedXMLName(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

// countLeadingLines counts the line ends before the first text that is not white space.
func countLeadingLines(text []byte) int {
	return bytes.Count(text[:len(text)-len(bytes.TrimLeft(text, " \t\r\n"))], []byte("\n"))
}

func xmlError(err error, line int) *Error {
	if syntax, ok := errors.AsType[*xml.SyntaxError](err); ok {
		return &Error{Line: syntax.Line, Problem: "not well-formed XML: " + quoteBrief(syntax.Msg), Hint: hintForXML(syntax.Msg)}
	}
	if errors.Is(err, errEncoding) {
		return &Error{Line: line, Problem: errEncoding.Error(), Hint: "save the file as UTF-8 and declare that"}
	}
	return &Error{Line: line, Problem: "not well-formed XML: " + quoteBrief(err.Error())}
}

// hintForXML returns what to do about a mistake in the XML itself.
func hintForXML(problem string) string {
	switch {
	case strings.ContainsAny(problem, "\u2018\u2019\u201c\u201d\u201e"):
		return `write quotation marks as " or '`
	case strings.Contains(problem, "illegal character"):
		return "remove that character"
	}
	return "an element is written <name>value</name>"
}

// acceptASCIICharset accepts the encoding us-ascii, a part of UTF-8, and no other.
func acceptASCIICharset(charset string, r io.Reader) (io.Reader, error) {
	if strings.EqualFold(charset, "us-ascii") || strings.EqualFold(charset, "ascii") {
		return r, nil
	}
	return nil, errEncoding
}

// firstBadUTF8Line returns the line of the first byte that is not UTF-8, 0 if there is none.
func firstBadUTF8Line(data []byte) int {
	for i := 0; i < len(data); {
		r, n := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && n == 1 {
			return 1 + bytes.Count(data[:i], []byte("\n"))
		}
		i += n
	}
	return 0
}

// softenCommentDashes replaces dashes inside comments with spaces: XML forbids -- there, but real ossec.conf files have it.
// It also returns the line of a comment that never ends, 0 if all do.
func softenCommentDashes(data []byte) (softened []byte, unclosed int) {
	data = bytes.Clone(data)
	for at := 0; ; {
		start := bytes.Index(data[at:], []byte("<!--"))
		if start < 0 {
			return data, 0
		}
		start += at + len("<!--")
		end := bytes.Index(data[start:], []byte("-->"))
		if end < 0 {
			return data, 1 + bytes.Count(data[:start], []byte("\n"))
		}
		for i := start; i < start+end; i++ {
			if data[i] == '-' {
				data[i] = ' '
			}
		}
		at = start + end + len("-->")
	}
}
