package config

import (
	"errors"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"

	"github.com/wazuh-pulse/pulse/internal/printable"
)

// textField is a setting whose value is a text that satisfies a rule.
type textField struct {
	p    *string
	rule rule
}

// secretFile is a setting that names a file with a secret, which other users of this host
// may not read.
type secretFile struct{ textField }

// trustFile is a setting that names a file of trusted keys or certificates, without a
// secret.
type trustFile struct{ textField }

// optionalPath is an absolute path, or nothing.
func optionalPath(p *string) textField { return textField{p, optionalRule(absolutePath)} }

// rule is a check of a text.
type rule struct {
	desc  string
	check func(string) error
}

func (f textField) String() string                 { return *f.p }
func (f textField) describeAcceptedValues() string { return f.rule.desc }

func (f textField) setFromText(value string) error {
	if err := f.rule.check(value); err != nil {
		return err
	}
	*f.p = value
	return nil
}

// optionalRule accepts an empty text, too, which switches the setting off.
func optionalRule(r rule) rule {
	return rule{r.desc + ", or nothing", func(s string) error {
		if s == "" {
			return nil
		}
		return r.check(s)
	}}
}

// errUnprintable is for control and invisible characters: they would steer the terminals and break the logs that show
// the value.
var errUnprintable = errors.New("has a character that cannot be printed")

const maxPath = 4096 // PATH_MAX of Linux

var absolutePath = rule{"an absolute path", func(s string) error {
	switch {
	case !filepath.IsAbs(s):
		return errors.New("not an absolute path")
	case len(s) > maxPath:
		return errors.New("longer than a path may be")
	case !printable.Is(s):
		return errUnprintable
	}
	return nil
}}

var userName = rule{"a name of 1 to 256 bytes", func(s string) error {
	switch {
	case len(s) > 256:
		return errors.New("longer than 256 bytes")
	case !printable.Is(s):
		return errUnprintable
	}
	return nil
}}

// hostPort accepts port 0, with which the system chooses one, for tests and demos.
var hostPort = rule{"HOST:PORT with an IP address or name, such as 127.0.0.1:4222 or [::1]:4222", func(s string) error {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return errors.New("not of the form HOST:PORT")
	}
	if !isHost(host) {
		return errors.New("the host is neither an IP address nor a name")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return errors.New("the port is not a number from 0 to 65535")
	}
	return nil
}}

// isHost accepts IP addresses and the names that resolvers accept (RFC 1123, and the underscores of container networks).
func isHost(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return printable.Is(s) // the zone may be anything
	}
	return s != "" && len(s) <= 253 && !strings.ContainsFunc(s, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._", r)
	})
}

const maxToken = 128 // bytes; keeps whole subjects far below NATS's own limit of 4 KB

// token is one part of a NATS subject.
var token = rule{"a name of 1 to 128 bytes without a dot, space, * or >", func(s string) error {
	if strings.Contains(s, ".") {
		return errors.New("has a dot")
	}
	return checkSubjectToken(s)
}}

// subject is one or more tokens, so that Pulse's own can follow. NATS keeps subjects starting with $ for itself.
var subject = rule{"1 to 128 bytes of words separated by dots, without a space, * or >, not starting with $", func(s string) error {
	if strings.HasPrefix(s, "$") {
		return errors.New("starts with $")
	}
	if len(s) > maxToken {
		return errors.New("longer than 128 bytes")
	}
	for t := range strings.SplitSeq(s, ".") {
		if err := checkSubjectToken(t); err != nil {
			return err
		}
	}
	return nil
}}

func checkSubjectToken(s string) error {
	switch {
	case s == "":
		return errors.New("has an empty word")
	case len(s) > maxToken:
		return errors.New("longer than 128 bytes")
	case strings.ContainsAny(s, "*>"):
		return errors.New("has a wildcard")
	case strings.ContainsFunc(s, unicode.IsSpace):
		return errors.New("has a space")
	case !printable.Is(s):
		return errUnprintable
	}
	return nil
}

// groupName is fit for messages, paths and labels without escaping.
var groupName = rule{"1 to 64 letters, digits, - or _", func(s string) error {
	switch {
	case s == "":
		return errors.New("empty")
	case len(s) > 64:
		return errors.New("longer than 64 bytes")
	case strings.ContainsFunc(s, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' && r != '_'
	}):
		return errors.New("has a character that is no letter, digit, - or _")
	}
	return nil
}}
