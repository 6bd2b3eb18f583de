package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// field is one place in a [Config], with the rule of what may stand there.
type field interface {
	// parse stores a value as written in a file, white space around it trimmed. Its error says only what is wrong
	// ("out of range"), never the value: that may be a secret.
	parse(text string) error
	// String is the value as it would be written in a file.
	String() string
	// want says what may stand here, to follow the word "want".
	want() string
}

var errRange = errors.New("out of range")

type yesNo struct{ p *bool }

func (f yesNo) want() string { return "yes or no" }

func (f yesNo) parse(text string) error {
	if text != "yes" && text != "no" {
		return errors.New("neither yes nor no")
	}
	*f.p = text == "yes"
	return nil
}

func (f yesNo) String() string {
	if *f.p {
		return "yes"
	}
	return "no"
}

type word struct {
	p     *string
	words []string
}

func (f word) String() string { return *f.p }
func (f word) want() string   { return list(f.words) }

func (f word) parse(text string) error {
	if !slices.Contains(f.words, text) {
		return errors.New("unknown word")
	}
	*f.p = text
	return nil
}

// whole is a whole number in decimal digits.
type whole struct {
	p        *int
	min, max int
}

func (f whole) String() string { return strconv.Itoa(*f.p) }
func (f whole) want() string   { return fmt.Sprintf("a whole number from %d to %d", f.min, f.max) }

func (f whole) parse(text string) error {
	n, err := strconv.Atoi(text)
	if errors.Is(err, strconv.ErrSyntax) {
		return errors.New("not a whole number")
	}
	if err != nil || n < f.min || n > f.max {
		return errRange
	}
	*f.p = n
	return nil
}

// percent is a whole number of hundredths, with or without its sign.
type percent struct{ whole }

func (f percent) want() string { return f.whole.want() + ", in percent" }
func (f percent) parse(text string) error {
	number, _ := strings.CutSuffix(text, "%")
	return f.whole.parse(strings.TrimSpace(number))
}

// list joins two or more words as a sentence does: "a, b or c".
func list(words []string) string {
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " or " + words[n]
}
