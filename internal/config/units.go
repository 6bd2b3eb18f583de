package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

const (
	hour = time.Hour
	day  = 24 * time.Hour
	// shortest suits labs and tests; the sweep of the detector would not see anything shorter.
	shortest = 100 * time.Millisecond
)

// duration is a time span: plain seconds as ossec.conf has them, or with units as Go has them, and d for days.
type duration struct {
	p        *time.Duration
	min, max time.Duration
}

func (f duration) String() string { return durationText(*f.p) }
func (f duration) want() string {
	return fmt.Sprintf("seconds or a duration such as 90s or 2m, from %s to %s", boundText(f.min), boundText(f.max))
}

func (f duration) parse(text string) error {
	d, err := parseDuration(text)
	if err != nil {
		return err
	}
	if d < f.min || d > f.max {
		return errRange
	}
	*f.p = d
	return nil
}

func parseDuration(text string) (time.Duration, error) {
	unit := time.Duration(1)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		text, unit = days+"h", 24
	} else if strings.Trim(text, "0123456789.") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, errors.New("not a duration")
	}
	if d > math.MaxInt64/unit || d < math.MinInt64/unit {
		return 0, errRange
	}
	return d * unit, nil
}

// durationText writes whole seconds as ossec.conf does, without a unit.
func durationText(d time.Duration) string {
	if d%time.Second == 0 {
		return strconv.FormatInt(int64(d/time.Second), 10)
	}
	return d.String()
}

func boundText(d time.Duration) string {
	switch {
	case d >= day && d%day == 0:
		return fmt.Sprintf("%dd", d/day)
	case d >= hour && d%hour == 0:
		return fmt.Sprintf("%dh", d/hour)
	}
	return d.String()
}

// size is a number of bytes; its units are powers of 1024.
type size struct {
	p        *int64
	min, max int64
}

var sizeUnits = []string{"KB", "MB", "GB", "TB"}

func (f size) String() string { return sizeText(*f.p) }
func (f size) want() string {
	return fmt.Sprintf("a size such as 512MB or 1GB, from %s to %s", sizeText(f.min), sizeText(f.max))
}

func (f size) parse(text string) error {
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

func sizeText(n int64) string {
	for i := len(sizeUnits) - 1; i >= 0; i-- {
		if unit := int64(1) << (10 * (i + 1)); n >= unit && n%unit == 0 {
			return strconv.FormatInt(n/unit, 10) + sizeUnits[i]
		}
	}
	return strconv.FormatInt(n, 10)
}

// secondsText is for sentences: always with a unit.
func secondsText(d time.Duration) string {
	if s := durationText(d); !strings.HasSuffix(s, "s") {
		return s + "s"
	}
	return d.String()
}
