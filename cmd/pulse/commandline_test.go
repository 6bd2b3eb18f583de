package main

import (
	"strings"
	"testing"
)

func TestTextInTheManualPageIsNoMarkup(t *testing.T) {
	for text, want := range map[string]string{
		`plain`:       `plain`,
		`--flag`:      `\-\-flag`,
		`C:\x`:        `C:\ex`,
		".so\n.evil":  `\&.so` + "\n" + `\&.evil`,
		`'it's'`:      `\(aqit\(aqs\(aq`,
		"end.\nStart": "end.\nStart",
	} {
		if got := escapeRoff(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	for line := range strings.Lines(formatManualPage(newParser(nil).Model)) {
		if strings.HasPrefix(line, "'") {
			t.Errorf("taken for a macro: %s", line)
		}
	}
}
