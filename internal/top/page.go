package top

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

// Tones, as ECMA-48 writes them.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
)

// part is a piece of a line in a tone.
type part struct{ tone, text string }

// page gathers lines.
type page struct {
	width  int
	colour bool
	lines  []string
}

// wide is a page with room for everything.
const wide = 100

// names is how wide agents' names are shown.
func (p *page) names() int {
	if p.width >= wide {
		return 24
	}
	return 16
}

// line adds one, cut at the page's width.
func (p *page) line(parts ...part) {
	var b strings.Builder
	left := p.width
	for _, s := range parts {
		text := cut(s.text, left)
		left -= utf8.RuneCountInString(text)
		if text == "" {
			continue
		}
		if p.colour && s.tone != "" {
			text = "\x1b[" + s.tone + "m" + text + "\x1b[0m"
		}
		b.WriteString(text)
	}
	p.lines = append(p.lines, b.String())
}

func cut(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	if width <= 0 {
		return ""
	}
	return string([]rune(text)[:width-1]) + "…"
}

// fit makes foreign text exactly so wide.
func fit(text string, width int) string {
	text = cut(printable.Only(text), width)
	return text + strings.Repeat(" ", width-utf8.RuneCountInString(text))
}

// short writes a duration in six characters or fewer.
func short(d time.Duration) string {
	switch d = max(d, 0); {
	case d < time.Millisecond:
		return "0s"
	case d < time.Second:
		return fmt.Sprintf("%dms", d.Milliseconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}
