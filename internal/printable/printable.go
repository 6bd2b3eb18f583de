// Package printable keeps text that others have written from steering a terminal,
// breaking a line, or looking like something else.
//
// What is printable is what [unicode.IsPrint] says: letters, marks, numbers,
// punctuation, symbols and the space. That leaves out control characters and with
// them every escape sequence, in their C1 forms too; line and paragraph separators;
// and characters without a picture, such as those that turn the writing direction.
//
// It starts no goroutines and keeps no state.
package printable

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Is reports whether all of a text is printable UTF-8.
func Is(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, not)
}

// Only returns a text with a question mark for each character that is not
// printable, and the replacement character for what is no UTF-8.
func Only(s string) string {
	if Is(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if not(r) {
			return '?'
		}
		return r
	}, s)
}

// Brief is the beginning of a text, printable.
func Brief(s string, most int) string {
	s = Only(s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return s
}

func not(r rune) bool { return !unicode.IsPrint(r) }
