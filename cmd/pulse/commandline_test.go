package main

import (
	"strings"
	"testing"
	"time"
)

func TestADurationOnTheCommandLineIsOneOfTheSettings(t *testing.T) {
	for text, want := range map[string]time.Duration{"90": 90 * time.Second, "90s": 90 * time.Second, "1.5h": 90 * time.Minute, "2d": 48 * time.Hour, "250ms": 250 * time.Millisecond} {
		var c commands
		parser := newParserOf(&c, nil)
		if _, err := parser.Parse([]string{"demo", "--for", text}); err != nil || c.Demo.For != want {
			t.Errorf("--for %s: %v, %v", text, c.Demo.For, err)
		}
		if _, err := parser.Parse([]string{"verify", "--max-age=" + text, "commandline.go"}); err != nil || c.Verify.MaxAge != want {
			t.Errorf("--max-age=%s: %v, %v", text, c.Verify.MaxAge, err)
		}
	}
}

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
