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

// Setting is one element of the settings file, for people to read.
type Setting struct {
	Path   string // "ossec_config/nats/server_url"
	Value  string // as it would be written in a file, passwords withheld
	Source string // "default", "/etc/pulse.conf:12" or "derived from home"
	Want   string // what may stand there, to follow the word "want"
	Doc    string // one sentence
}

// Settings lists every setting in effect, in document order.
func (l *Loaded) Settings() []Setting {
	list := make([]Setting, 0, len(table))
	for _, s := range table {
		f := s.field(&l.Config)
		list = append(list, Setting{rootElement + "/" + s.path, f.String(), l.origins[s.path].String(), f.want(), s.doc})
	}
	return list
}

// Reference lists every setting with its default, in document order. Documentation is checked against it.
func Reference() []Setting {
	l := Loaded{Config: Default()}
	return l.Settings()
}

// WriteXML writes the settings in effect as a settings file, with a comment at each saying where it came from. It can
// be loaded again to the same effect, but for a withheld password, which Load refuses.
func (l *Loaded) WriteXML(w io.Writer) error {
	var b bytes.Buffer
	out := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.DiscardEmptyColumns)
	var open []string
	for _, s := range l.Settings() {
		dirs := strings.Split(s.Path, "/")
		name := dirs[len(dirs)-1]
		open = moveTo(out, open, dirs[:len(dirs)-1])
		fmt.Fprintf(out, "%s<%s>%s</%s>\t<!-- %s -->\n", indent(open), name, escape(s.Value), name, commentText(s.Source))
	}
	moveTo(out, open, nil)
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write settings: %w", err)
	}
	return nil
}

// moveTo closes and opens elements on the way from one block to another.
func moveTo(w io.Writer, from, to []string) []string {
	common := 0
	for common < min(len(from), len(to)) && from[common] == to[common] {
		common++
	}
	for i := len(from) - 1; i >= common; i-- {
		fmt.Fprintf(w, "%s</%s>\n", indent(from[:i]), from[i])
	}
	for i := common; i < len(to); i++ {
		fmt.Fprintf(w, "%s<%s>\n", indent(to[:i]), to[i])
	}
	return to
}

func indent(open []string) string { return strings.Repeat("  ", len(open)) }

func escape(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a Builder does not fail
	return b.String()
}

// commentText keeps a file's name from ending the comment or breaking its line.
func commentText(s string) string {
	return strings.NewReplacer("--", "- -", "\n", " ", "\t", " ").Replace(s)
}
