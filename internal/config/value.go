package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/wazuh-pulse/pulse/internal/silence"
)

// field is one field of a [Config], with its accepted values.
type field interface {
	// setFromText stores a value as written in a file, trimmed. Its error is only about what is wrong
	// ("out of range"), never the value: that may be a secret.
	setFromText(text string) error
	// String returns the value as it would be written in a file.
	String() string
	// describeAcceptedValues describes the accepted values, to follow the word "want".
	describeAcceptedValues() string
}

var errRange = errors.New("out of range")

type boolField struct{ p *bool }

func (f boolField) describeAcceptedValues() string { return "yes or no" }

func (f boolField) setFromText(text string) error {
	if text != "yes" && text != "no" {
		return errors.New("neither yes nor no")
	}
	*f.p = text == "yes"
	return nil
}

func (f boolField) String() string {
	if *f.p {
		return "yes"
	}
	return "no"
}

type choiceField struct {
	p     *string
	words []string
}

func (f choiceField) String() string                 { return *f.p }
func (f choiceField) describeAcceptedValues() string { return joinWithOr(f.words) }

func (f choiceField) setFromText(text string) error {
	if !slices.Contains(f.words, text) {
		return errors.New("unknown word")
	}
	*f.p = text
	return nil
}

// intField is a whole number in decimal digits.
type intField struct {
	p        *int
	min, max int
}

func (f intField) String() string { return strconv.Itoa(*f.p) }
func (f intField) describeAcceptedValues() string {
	return fmt.Sprintf("a whole number from %d to %d", f.min, f.max)
}

func (f intField) setFromText(text string) error {
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

// percentField is a whole number of hundredths, with or without its sign.
type percentField struct{ intField }

func (f percentField) describeAcceptedValues() string {
	return f.intField.describeAcceptedValues() + ", in percent"
}
func (f percentField) setFromText(text string) error {
	number, _ := strings.CutSuffix(text, "%")
	return f.intField.setFromText(strings.TrimSpace(number))
}

// joinWithOr joins two or more words: "a, b or c".
func joinWithOr(words []string) string {
	n := len(words) - 1
	return strings.Join(words[:n], ", ") + " or " + words[n]
}

const (
	hour = time.Hour
	day  = 24 * time.Hour
	year = 365 * day
	// shortestDuration is for labs and tests; the detector's sweep could not keep a shorter one.
	shortestDuration = 100 * time.Millisecond
)

// durationField is a time span: plain seconds as ossec.conf has them, or with units as Go has them, and d for days.
type durationField struct {
	p        *time.Duration
	min, max time.Duration
}

func (f durationField) String() string { return durationSettingText(*f.p) }
func (f durationField) describeAcceptedValues() string {
	return fmt.Sprintf("seconds or a duration such as 90s or 2m, from %s to %s", durationBoundText(f.min), durationBoundText(f.max))
}

func (f durationField) setFromText(text string) error {
	d, err := silence.ParseDuration(text)
	if err != nil {
		return err
	}
	if d < f.min || d > f.max {
		return errRange
	}
	*f.p = d
	return nil
}

// optionalDuration is a time span, or 0 for none.
type optionalDuration struct{ durationField }

func (f optionalDuration) describeAcceptedValues() string {
	return "0, or " + f.durationField.describeAcceptedValues()
}

func (f optionalDuration) setFromText(text string) error {
	if d, err := silence.ParseDuration(text); err == nil && d == 0 {
		*f.p = 0
		return nil
	}
	return f.durationField.setFromText(text)
}

// durationSettingText returns whole seconds as ossec.conf has them, without a unit.
func durationSettingText(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10)
	}
	return d.String()
}

func durationBoundText(d time.Duration) string {
	switch {
	case d >= day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d >= hour && d%hour == 0:
		return fmt.Sprintf("%dh", d/hour)
	}
	return d.String()
}

// sizeField is a number of bytes; its units are powers of 1024.
type sizeField struct {
	p        *int64
	min, max int64
}

var sizeUnits = []string{"KB", "MB", "GB", "TB"}

func (f sizeField) String() string { return sizeSettingText(*f.p) }
func (f sizeField) describeAcceptedValues() string {
	return fmt.Sprintf("a size such as 512MB or 1GB, from %s to %s", sizeSettingText(f.min), sizeSettingText(f.max))
}

func (f sizeField) setFromText(text string) error {
	unit := int64(1)
	for i, u := range sizeUnits {
		if len(text) > 2 && strings.EqualFold(text[len(text)-2:], u) {
			text, unit = text[:len(text)-2], 1<<(10*(i+1))
			break
		}
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return errors.New("not a size")
	}
	if err != nil || n < 0 || n > f.max/unit || n*unit < f.min { // in this order the product cannot overflow
		return errRange
	}
	*f.p = n * unit
	return nil
}

func sizeSettingText(n int64) string {
	for i := len(sizeUnits) - 1; i >= 0; i-- {
		if unit := int64(1) << (10 * (i + 1)); n >= unit && n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + sizeUnits[i]
		}
	}
	return strconv.FormatInt(n, 10)
}

func secondsWithUnit(d time.Duration) string {
	if s := durationSettingText(d); !strings.HasSuffix(s, "s") {
		return s + "s"
	}
	return d.String()
}
