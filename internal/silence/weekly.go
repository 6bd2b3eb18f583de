package silence

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // hosts without a database of time zones
)

// Weekly is a time of the week. It goes by the wall clock of its zone: a beginning that
// the clocks skip is the moment at which they are set forward, an end as well; of a wall
// time that comes twice the beginning is the first and the end is the second. So nothing
// within the announced hours is left out, whatever the clocks do, and hours that do not
// exist are no silence.
type Weekly struct {
	days       uint8 // of the beginnings: bit 0 is Sunday
	begin, end int   // minutes of the day; an end above dayMinutes is on the next day
	zone       *time.Location
}

const (
	dayMinutes = 24 * 60
	everyDay   = 1<<7 - 1
	// maxWeekly is the size of a spec, in bytes.
	maxWeekly = 128
)

var dayNames = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

// WantWeekly describes the specs that [ParseWeekly] accepts.
const WantWeekly = `DAYS HH:MM-HH:MM ZONE, such as "Sun 02:00-04:00 Europe/Berlin", "Mon-Fri 22:00-06:00 UTC" or "daily 01:30-02:00 America/New_York"`

// ParseWeekly parses days, hours and a zone of the IANA database. Days are those on which
// it begins; an end that is not after the beginning is on the next day.
func ParseWeekly(text string) (*Weekly, error) {
	if len(text) > maxWeekly {
		return nil, fmt.Errorf("longer than %d bytes", maxWeekly)
	}
	fields := strings.Fields(text)
	if len(fields) != 3 {
		return nil, errors.New("want " + WantWeekly)
	}
	w := new(Weekly)
	if err := w.parseDays(fields[0]); err != nil {
		return nil, err
	}
	if err := w.parseHours(fields[1]); err != nil {
		return nil, err
	}
	if fields[2] == "Local" { // of the host: nobody knows what that will be
		return nil, errors.New("zone Local: want a zone such as Europe/Berlin or UTC")
	}
	var err error
	if w.zone, err = time.LoadLocation(fields[2]); err != nil {
		return nil, fmt.Errorf("zone %.40q is not known: want one such as Europe/Berlin or UTC", fields[2])
	}
	if w.days == everyDay && w.end-w.begin == dayMinutes {
		return nil, errors.New("it never ends: an agent that is lost would never be an alert")
	}
	return w, nil
}

// parseDays parses names of days and ranges of them.
func (w *Weekly) parseDays(text string) error {
	if strings.EqualFold(text, "daily") {
		w.days = everyDay
		return nil
	}
	for part := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(part, "-")
		if !isRange {
			to = from
		}
		first, last := indexOfDay(from), indexOfDay(to)
		if first < 0 || last < 0 {
			return fmt.Errorf("days %.40q: want Mon, Tue, Wed, Thu, Fri, Sat or Sun, several separated by commas, ranges such as Mon-Fri, or daily", text)
		}
		for day := first; ; day = (day + 1) % 7 {
			w.days |= 1 << day
			if day == last {
				break
			}
		}
	}
	return nil
}

func indexOfDay(name string) int {
	return slices.IndexFunc(dayNames[:], func(day string) bool { return strings.EqualFold(day, name) })
}

func (w *Weekly) parseHours(text string) error {
	from, to, _ := strings.Cut(text, "-")
	begin, ok := parseMinute(from)
	end, also := parseMinute(to)
	switch {
	case !ok || !also || begin == dayMinutes:
		return fmt.Errorf("hours %.40q: want HH:MM-HH:MM, from 00:00 to 24:00", text)
	case begin == end:
		return fmt.Errorf("hours %s: it ends when it begins: a whole day is 00:00-24:00", text)
	case end < begin:
		end += dayMinutes
	}
	w.begin, w.end = begin, end
	return nil
}

// parseMinute returns the minute of the day that HH:MM is.
func parseMinute(text string) (minute int, ok bool) {
	if len(text) != len("HH:MM") || text[2] != ':' {
		return 0, false
	}
	for _, i := range []int{0, 1, 3, 4} {
		if text[i] < '0' || text[i] > '9' {
			return 0, false
		}
	}
	hour, minute := int(text[0]-'0')*10+int(text[1]-'0'), int(text[3]-'0')*10+int(text[4]-'0')
	minute += hour * 60
	return minute, text[3] < '6' && minute <= dayMinutes
}

// String returns the spec, with every day named.
func (w *Weekly) String() string {
	var days []string
	for i := range dayNames {
		if day := (i + 1) % 7; w.days&(1<<day) != 0 { // from Monday on
			days = append(days, dayNames[day])
		}
	}
	if w.days == everyDay {
		days = []string{"daily"}
	}
	end := w.end
	if end > dayMinutes {
		end -= dayMinutes
	}
	return fmt.Sprintf("%s %02d:%02d-%02d:%02d %s", strings.Join(days, ","), w.begin/60, w.begin%60, end/60, end%60, w.zone)
}

const (
	// daysBefore is how many days ago something may have begun that goes on: it lasts two
	// dates at most, and zones have skipped whole days.
	daysBefore = 3
	// daysAhead is two weeks, as clocks may skip the hours of one.
	daysAhead = 16
)

// HoldsAt reports whether the weekly time goes on at an instant, and returns when that
// changes next. What follows without a pause is one time.
func (w *Weekly) HoldsAt(at time.Time) (holds bool, next time.Time) {
	year, month, day := at.In(w.zone).Date()
	for d := -daysBefore; d <= daysAhead; d++ {
		date := time.Date(year, month, day+d, 0, 0, 0, 0, time.UTC)
		if w.days&(1<<date.Weekday()) == 0 {
			continue
		}
		begin, end := w.periodOf(date)
		switch {
		case !begin.Before(end): // the clocks skip it
		case holds && begin.After(next):
			return true, next
		case holds:
			next = laterOf(next, end)
		case begin.After(at):
			return false, begin
		case end.After(at):
			holds, next = true, end
		}
	}
	return holds, next
}

// periodOf returns the period that begins on a date, which is given as midnight in UTC.
func (w *Weekly) periodOf(date time.Time) (begin, end time.Time) {
	begin, _ = findInstants(date.Add(time.Duration(w.begin)*time.Minute), w.zone)
	_, end = findInstants(date.Add(time.Duration(w.end)*time.Minute), w.zone)
	return begin, end
}

func laterOf(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}
