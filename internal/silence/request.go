package silence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Request asks for a silence. One of For, Until and Weekly is set.
type Request struct {
	All     bool   `json:"all,omitempty"`
	Agent   string `json:"agent,omitempty"`
	Group   string `json:"group,omitempty"`
	Network string `json:"network,omitempty"`
	For     string `json:"for,omitempty"`   // seconds, or with a unit: 90s, 2h, 1d
	Until   string `json:"until,omitempty"` // RFC 3339
	Weekly  string `json:"weekly,omitempty"`
	Comment string `json:"comment,omitempty"`
	By      string `json:"by"`
}

// conditionFields are those without which more agents are selected.
var conditionFields = []string{"agent", "group", "network"}

// MaxRequest is the size of the longest request, in bytes.
const MaxRequest = 8 << 10

// requestFields are the names of the fields.
var requestFields = []string{"all", "agent", "group", "network", "for", "until", "weekly", "comment", "by"}

// ParseRequest parses a request: a JSON object with no other fields, each at most once.
func ParseRequest(data []byte) (Request, error) {
	var r Request
	switch {
	case len(data) > MaxRequest:
		return r, fmt.Errorf("longer than %d bytes", MaxRequest)
	case !utf8.Valid(data):
		return r, errors.New("not UTF-8")
	}
	if err := checkFields(data); err != nil {
		return r, err
	}
	if err := json.Unmarshal(data, &r); err != nil {
		if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
			return r, fmt.Errorf("field %q: not a %s", wrong.Field, wrong.Type)
		}
		return r, fmt.Errorf("not JSON: %w", err)
	}
	return r, nil
}

// checkFields refuses what encoding/json would accept without a word: unknown fields,
// those in another case, repeated ones, and empty conditions.
func checkFields(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if open, err := d.Token(); err != nil || open != json.Delim('{') {
		return errors.New("not a JSON object")
	}
	var seen []string
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		name, _ := token.(string)
		switch {
		case !slices.Contains(requestFields, name):
			return fmt.Errorf("unknown field %.40q: known are %s", name, strings.Join(requestFields, ", "))
		case slices.Contains(seen, name):
			return fmt.Errorf("field %q is there twice", name)
		}
		seen = append(seen, name)
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		switch {
		case string(value) == "null":
			return fmt.Errorf("field %q: null", name)
		case string(value) == `""` && slices.Contains(conditionFields, name):
			return fmt.Errorf("field %q: empty: leave it out, if it is no condition", name)
		}
	}
	return nil
}

// NewSilence returns the silence that is asked for, from now on.
func (r *Request) NewSilence(now time.Time) (Silence, error) {
	by, err := NormalizeBy(r.By)
	if err != nil {
		return Silence{}, err
	}
	asked := now.UTC()
	now = asked.Truncate(time.Second)
	e := Entry{All: r.All, Agent: r.Agent, Group: r.Group, Network: r.Network, Weekly: r.Weekly, Comment: strings.TrimSpace(r.Comment), By: by, CreatedAt: now}
	given := 0
	for _, text := range []string{r.For, r.Until, r.Weekly} {
		if text != "" {
			given++
		}
	}
	switch {
	case given == 0:
		return Silence{}, errors.New("it has no end: want for, until or weekly")
	case given > 1:
		return Silence{}, errors.New("more than one of for, until and weekly: want one")
	case r.For != "":
		length, err := parseLength(r.For)
		if err != nil {
			return Silence{}, fmt.Errorf("for %.40q: %w", r.For, err)
		}
		e.From, e.Until = now, endOf(asked, length)
	case r.Until != "":
		until, err := time.Parse(time.RFC3339, r.Until)
		if err != nil {
			return Silence{}, fmt.Errorf("until %.40q: want a time such as %s", r.Until, now.Add(2*time.Hour).Format(time.RFC3339))
		}
		e.From, e.Until = now, until.UTC().Truncate(time.Second)
	}
	return ParseEntry(&e)
}

// endOf returns the end of a silence, in whole seconds: it is not shorter than its length, but
// for one of the longest.
func endOf(from time.Time, length time.Duration) time.Time {
	begin, end := from.Truncate(time.Second), from.Add(length)
	if whole := end.Truncate(time.Second); whole.Before(end) {
		end = whole.Add(time.Second)
	}
	if longest := begin.Add(MaxLength); end.After(longest) {
		return longest
	}
	return end
}

// ParseDuration parses a duration as settings have it: seconds, or with units as Go has
// them, and d for days. What a time.Duration cannot hold is returned as the nearest that it can.
func ParseDuration(text string) (time.Duration, error) {
	unit := time.Duration(1)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		text, unit = days+"h", 24
	} else if strings.Trim(strings.TrimPrefix(text, "-"), "0123456789.") == "" {
		text += "s"
	}
	d, err := time.ParseDuration(text)
	switch {
	case err != nil && isHugeDuration(text):
		return math.MaxInt64, nil
	case err != nil:
		return 0, errors.New("not a duration")
	}
	return min(max(d, math.MinInt64/unit), math.MaxInt64/unit) * unit, nil
}

// isHugeDuration reports whether a text would be a duration with a smaller number.
func isHugeDuration(text string) bool {
	behind := strings.TrimLeft(text, "0123456789")
	_, err := time.ParseDuration("1" + behind)
	return behind != text && err == nil
}

// parseLength parses the length of a silence. It is 1 s to [MaxLength].
func parseLength(text string) (time.Duration, error) {
	switch d, err := ParseDuration(text); {
	case err != nil:
		return 0, errors.New("want seconds, or a duration such as 90m, 2h or 1d")
	case d < time.Second || d > MaxLength:
		return 0, errors.New("want 1s to 366d")
	default:
		return d, nil
	}
}
