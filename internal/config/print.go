package config

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

const rootElement = "ossec_config"

// maxAligned is the longest value beside which the comments of its neighbours are still aligned; a group's list of ids
// may be far longer.
const maxAligned = 100

// Setting is one element of the settings file, as text.
type Setting struct {
	Path   string // "ossec_config/nats/server_url", in the syntax of XPath, with a group as "agent_group[@name='servers']"
	Value  string // as it would be written in a file
	Source string // "default", "/etc/pulse.conf:12" or "derived from home"

	Replaces string // where an earlier file has another value, in the form of Source; empty if none has
}

// DescribeSource returns where the value is, and where another one is that it replaces.
func (s *Setting) DescribeSource() string {
	if s.Replaces == "" {
		return s.Source
	}
	return s.Source + ", in place of " + s.Replaces
}

// Settings lists every setting in effect, in document order. For groups these are the selectors that they have, and all
// that they set or inherit.
func (l *Loaded) Settings() []Setting {
	table := l.settingsInEffect()
	list := make([]Setting, 0, len(table))
	for _, s := range table {
		list = append(list, Setting{rootElement + "/" + s.path, s.field(&l.Config).String(), l.origins[s.path].String(), l.replaced[s.path]})
	}
	return list
}

// WriteXML writes the settings in effect as a settings file, with a comment at each saying where it came from. It can
// be loaded again to the same effect.
func (l *Loaded) WriteXML(w io.Writer) error {
	var b bytes.Buffer
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.DiscardEmptyColumns)
	var open []string
	for _, s := range l.Settings() {
		dirs := strings.Split(s.Path, "/")
		name := dirs[len(dirs)-1]
		open = writeTagsBetween(out, open, dirs[:len(dirs)-1])
		tab := "\t"
		if len(s.Value) > maxAligned {
			tab = "  "
		}
		fmt.Fprintf(out, "%s<%s>%s</%s>%s<!-- %s -->\n", indentationFor(open), name, escapeXML(s.Value), name, tab, xmlCommentText(s.DescribeSource()))
	}
	writeTagsBetween(out, open, nil)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	return nil
}

// writeTagsBetween writes the end and start tags between two blocks.
func writeTagsBetween(w io.Writer, from, to []string) []string {
	common := 0
	for common < min(len(from), len(to)) && from[common] == to[common] {
		common++
	}
	for i := len(from) - 1; i >= common; i-- {
		name, _, _ := strings.Cut(from[i], "[")
		fmt.Fprintf(w, "%s</%s>\n", indentationFor(from[:i]), name)
	}
	for i := common; i < len(to); i++ {
		fmt.Fprintf(w, "%s<%s>\n", indentationFor(to[:i]), startTag.Replace(to[i]))
	}
	return to
}

// startTag makes agent_group[@name='servers'] the start of an element.
var startTag = strings.NewReplacer("[@", " ", "='", `="`, "']", `"`)

func indentationFor(open []string) string { return strings.Repeat("  ", len(open)) }

func escapeXML(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

// xmlCommentText keeps a file's name from ending the comment or breaking its line.
func xmlCommentText(s string) string {
	return strings.NewReplacer("--", "- -", "\n", " ", "\t", " ").Replace(s)
}
