package config

import (
	"regexp"
	"strings"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

// withheld stands for a secret in print.
const withheld = "xxxxx"

// userPart reaches from a scheme to the last @: greedy, as a password pasted into a wrong place may itself hold an @.
var userPart = regexp.MustCompile(`://.*@`)

const maxQuoted = 64 // runes

// quote makes a text from the file fit for a one-line message: without secrets, control characters and great length.
func quote(s string) string {
	s = userPart.ReplaceAllString(strings.Join(strings.Fields(s), " "), "://"+withheld+"@")
	return printable.Brief(s, maxQuoted)
}
