package provision

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/hint"
)

// Mistake is an error of whoever asks: a name that cannot be. Trying again does not help.
type Mistake struct{ error }

func (m Mistake) Unwrap() error { return m.error }

// A name becomes a directory, a token of subjects and the key of a bucket.
var name = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$`)

func checkName(what, s string) error {
	if !name.MatchString(s) {
		return fmt.Errorf("%s %q: want 1 to 64 letters of a to z, digits, - and _, the first a letter or digit", what, s)
	}
	return nil
}

// checkOperator takes what people call themselves: it is only shown.
func checkOperator(s string) error {
	if s == "" || len(s) > 128 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("operator %q: want a name of 1 to 128 bytes without control characters", s)
	}
	return nil
}

// checkPrefix refuses a prefix whose messages would be something else to the
// server, or to the micro service.
func checkPrefix(prefix string) error {
	if err := event.Prefix(prefix).Valid(); err != nil {
		return err
	}
	first, _, _ := strings.Cut(prefix, ".")
	switch {
	case len(prefix) > 128:
		return fmt.Errorf("subject prefix %.20q...: longer than 128 bytes", prefix)
	case first == "pulse" || strings.HasPrefix(first, "_"):
		return hint.Add(fmt.Errorf("subject prefix %q: questions and their answers begin with %q", prefix, first), "choose another")
	}
	return nil
}

// checkHost takes IP addresses and names as certificates have them (RFC 1123).
func checkHost(host string) error {
	if _, err := netip.ParseAddr(host); err == nil {
		return nil
	}
	problem := error(nil)
	switch {
	case host == "" || len(host) > 253:
		problem = errors.New("want 1 to 253 bytes")
	case strings.Contains(host, ":"):
		problem = errors.New("want a name or an address without a port, which is --port's")
	default:
		for label := range strings.SplitSeq(host, ".") {
			if !label1123.MatchString(label) {
				problem = errors.New("want an IP address, or a name of letters, digits and - between its dots")
			}
		}
	}
	if problem != nil {
		return fmt.Errorf("host %q: %w", host, problem)
	}
	return nil
}

var label1123 = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)

// checkPath refuses what would end the quoted string of a configuration file.
func checkPath(what, path string) error {
	if !strings.HasPrefix(path, "/") || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '"' || r == '\\' }) {
		return fmt.Errorf("%s %q: want an absolute path without quotes, backslashes and control characters", what, path)
	}
	return nil
}
