package main

import (
	"bytes"
	"unicode"
	"unicode/utf8"
)

// key is a key of a terminal: a character, or one of those below.
type key rune

// Keys that are no characters.
const (
	keyUp key = -1 - iota
	keyDown
	keyPageUp
	keyPageDown
	keyHome
	keyEnd
	keyEnter
	keyBackspace
	keyEscape
	keyTab
)

// keySequences has what terminals send, without the escape character: xterm, the Linux console, tmux.
var keySequences = map[string]key{"[A": keyUp, "OA": keyUp, "[B": keyDown, "OB": keyDown, "[5~": keyPageUp, "[6~": keyPageDown,
	"[H": keyHome, "OH": keyHome, "[1~": keyHome, "[7~": keyHome, "[F": keyEnd, "OF": keyEnd, "[4~": keyEnd, "[8~": keyEnd}

// decodeKeys returns the keys of what a terminal has sent. Sequences that are not known are skipped.
func decodeKeys(typed []byte) (keys []key) {
	for len(typed) > 0 {
		if typed[0] == 0x1b {
			n := sequenceLength(typed[1:])
			if k, known := keySequences[string(typed[1:1+n])]; known {
				keys = append(keys, k)
			} else if n == 0 {
				keys = append(keys, keyEscape)
			}
			typed = typed[1+n:]
			continue
		}
		r, n := utf8.DecodeRune(typed)
		switch {
		case r == '\r' || r == '\n':
			keys = append(keys, keyEnter)
		case r == 0x7f || r == 0x08:
			keys = append(keys, keyBackspace)
		case r == '\t':
			keys = append(keys, keyTab)
		case r == 0x03 || r == 0x04: // ends a terminal that sends no signals
			keys = append(keys, 'q')
		case r != utf8.RuneError && unicode.IsPrint(r):
			keys = append(keys, key(r))
		}
		typed = typed[n:]
	}
	return keys
}

// sequenceLength returns the length of the control sequence behind an escape character, 0 if there is none.
func sequenceLength(after []byte) int {
	if len(after) < 2 || after[0] != '[' && after[0] != 'O' {
		return 0
	}
	if after[0] == 'O' {
		return 2
	}
	if end := bytes.IndexFunc(after[1:], func(r rune) bool { return r >= '@' && r <= '~' }); end >= 0 {
		return end + 2
	}
	return len(after)
}
