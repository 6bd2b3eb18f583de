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

// page collects the lines of a screen.
type page struct {
	width  int
	colour bool
	lines  []string
}

// fullWidth is the width from which every column is shown.
const fullWidth = 100

func (p *page) nameWidth() int {
	if p.width >= fullWidth {
		return 24
	}
	return 16
}

// addLine adds a line, cut at the page's width.
func (p *page) addLine(parts ...part) {
	var b strings.Builder
	left := p.width
	for _, s := range parts {
		text := truncateText(s.text, left)
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

func truncateText(text string, width int) string {
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	if width <= 0 {
		return ""
	}
	return string([]rune(text)[:width-1]) + "…"
}

// fitText returns text, cut or padded to the width, without characters that
// could control a terminal.
func fitText(text string, width int) string {
	text = truncateText(printable.Only(text), width)
	return text + strings.Repeat(" ", width-utf8.RuneCountInString(text))
}

// formatDuration returns a duration in at most six characters.
func formatDuration(d time.Duration) string {
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
