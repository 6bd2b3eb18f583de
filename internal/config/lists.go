package config

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxListed is how many entries a list of ports or of durations has at most.
const maxListed = 8

var errTooMany = fmt.Errorf("more than %d entries", maxListed)

// portListField is TCP ports, in the order in which they are used. It may be empty.
type portListField struct{ p *[]int }

func (f portListField) describeAcceptedValues() string {
	return fmt.Sprintf("up to %d ports from 1 to 65535, separated by commas, or nothing", maxListed)
}

func (f portListField) String() string {
	texts := make([]string, len(*f.p))
	for i, port := range *f.p {
		texts[i] = strconv.Itoa(port)
	}
	return strings.Join(texts, ",")
}

func (f portListField) setFromText(text string) error {
	var ports []int
	err := parseOptionalList(text, func(entry string) error {
		var port int
		if err := (intField{&port, 1, 65535}).setFromText(entry); err != nil {
			return err
		}
		if slices.Contains(ports, port) {
			return errors.New("a port that is here twice")
		}
		ports = append(ports, port)
		return nil
	})
	if err == nil {
		*f.p = ports
	}
	return err
}

// durationListField is durations, each longer than the one before. It may be empty, also written as "no".
type durationListField struct {
	p        *[]time.Duration
	min, max time.Duration
}

func (f durationListField) describeAcceptedValues() string {
	return fmt.Sprintf("up to %d rising durations such as 60s,1h,1d, from %s to %s, or no", maxListed, durationBoundText(f.min), durationBoundText(f.max))
}

func (f durationListField) String() string {
	if len(*f.p) == 0 {
		return "no"
	}
	texts := make([]string, len(*f.p))
	for i, d := range *f.p {
		texts[i] = durationSettingText(d)
	}
	return strings.Join(texts, ",")
}

func (f durationListField) setFromText(text string) error {
	if text == "no" {
		text = ""
	}
	var durations []time.Duration
	err := parseOptionalList(text, func(entry string) error {
		var d time.Duration
		if err := (durationField{&d, f.min, f.max}).setFromText(entry); err != nil {
			return err
		}
		if n := len(durations); n > 0 && d <= durations[n-1] {
			return errors.New("not longer than the one before")
		}
		durations = append(durations, d)
		return nil
	})
	if err == nil {
		*f.p = durations
	}
	return err
}

// parseOptionalList calls parse for every entry of a list, which may be empty.
func parseOptionalList(text string, parse func(entry string) error) error {
	if text == "" {
		return nil
	}
	if strings.Count(text, ",") >= maxListed {
		return errTooMany
	}
	return parseEachEntry(text, parse)
}
