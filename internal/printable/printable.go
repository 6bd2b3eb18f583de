// Package printable replaces characters in foreign text that could control a
// terminal, break a line or disguise other text.
//
// Printable is what [unicode.IsPrint] accepts: letters, marks, numbers,
// punctuation, symbols and the space. That excludes control characters, and so
// every escape sequence, also in its C1 form; line and paragraph separators;
// and invisible characters, such as those that change the direction of
// writing.
//
// The package starts no goroutines and keeps no state.
package printable

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Is reports whether all of a text is printable UTF-8.
func Is(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, isUnprintable)
}

// Only returns s with a question mark for each character that is not
// printable, and the replacement character for invalid UTF-8.
func Only(s string) string {
	if Is(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if isUnprintable(r) {
			return '?'
		}
		return r
	}, s)
}

// Brief returns at most the first characters of s, printable.
func Brief(s string, most int) string {
	s = Only(s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return s
}

func isUnprintable(r rune) bool { return !unicode.IsPrint(r) }
