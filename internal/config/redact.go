package config

import (
	"net/url"
	"regexp"
	"strings"
	"unicode"
)

// withheld stands for a secret in print. A settings file that has it as a password is refused, so that printed settings
// fed back in cannot become failed logins.
const withheld = "xxxxx"

// redactURLs withholds the secrets of URLs that have been accepted: a password, or a user alone, which is a token to NATS.
func redactURLs(list string) string {
	urls := strings.Split(list, ",")
	for i, s := range urls {
		u, err := url.Parse(s)
		if err != nil {
			return withheld
		}
		if u.User == nil {
			continue
		}
		if _, ok := u.User.Password(); ok {
			u.User = url.UserPassword(u.User.Username(), withheld)
		} else {
			u.User = url.User(withheld)
		}
		urls[i] = u.String()
	}
	return strings.Join(urls, ",")
}

// userPart reaches from a scheme to the last @: greedy, as a password pasted into a wrong place may itself hold an @.
var userPart = regexp.MustCompile(`://.*@`)

const maxQuoted = 64 // runes

// quote makes a text from the file fit for a one-line message: without secrets, control characters and great length.
func quote(s string) string {
	s = userPart.ReplaceAllString(strings.Join(strings.Fields(s), " "), "://"+withheld+"@")
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > maxQuoted {
		return string(runes[:maxQuoted]) + "..."
	}
	return s
}
