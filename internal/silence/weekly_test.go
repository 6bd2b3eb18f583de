package silence

import (
	"strings"
	"testing"
	"time"
)

func mustParseWeekly(t testing.TB, text string) *Weekly {
	t.Helper()
	w, err := ParseWeekly(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return w
}

func TestWeeklyTimesAreReadAndWrittenAgain(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"Sun 02:00-04:00 Europe/Berlin":           "Sun 02:00-04:00 Europe/Berlin",
		" sat,SUN  22:00-06:00   UTC ":            "Sat,Sun 22:00-06:00 UTC",
		"Mon-Fri 00:00-24:00 America/New_York":    "Mon,Tue,Wed,Thu,Fri 00:00-24:00 America/New_York",
		"Fri-Mon 23:00-01:00 Asia/Kathmandu":      "Mon,Fri,Sat,Sun 23:00-01:00 Asia/Kathmandu",
		"daily 23:59-00:00 UTC":                   "daily 23:59-24:00 UTC",
		"Mon-Sun 01:30-02:00 Australia/Lord_Howe": "daily 01:30-02:00 Australia/Lord_Howe",
		"Wed,Wed,Tue-Wed 01:30-02:00 UTC":         "Tue,Wed 01:30-02:00 UTC",
	} {
		w := mustParseWeekly(t, text)
		if w.String() != want {
			t.Errorf("%q: %q, want %q", text, w, want)
		}
		if again := mustParseWeekly(t, w.String()); again.String() != w.String() {
			t.Errorf("%q is %q when it is read again", w, again)
		}
	}
}

func TestNonsenseWeeklyTimesAreRefusedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                              "want DAYS HH:MM-HH:MM ZONE",
		"Sun 02:00-04:00":               "want DAYS HH:MM-HH:MM ZONE",
		"Sun 02:00 - 04:00 UTC":         "want DAYS HH:MM-HH:MM ZONE",
		"Sunday 02:00-04:00 UTC":        `days "Sunday": want Mon`,
		"Son 02:00-04:00 UTC":           `days "Son"`,
		"Mon, 02:00-04:00 UTC":          `days "Mon,"`,
		"Mon- 02:00-04:00 UTC":          `days "Mon-"`,
		"Sun 2:00-4:00 UTC":             `hours "2:00-4:00": want HH:MM-HH:MM`,
		"Sun 02:60-04:00 UTC":           "hours",
		"Sun 02:00-24:01 UTC":           "hours",
		"Sun 24:00-04:00 UTC":           "hours",
		"Sun 02:00+04:00 UTC":           "hours",
		"Sun -2:00-04:00 UTC":           "hours",
		"Sun 02:00-02:00 UTC":           "it ends when it begins",
		"Sun 00:00-00:00 UTC":           "a whole day is 00:00-24:00",
		"Sun 02:00-04:00 Berlin":        `zone "Berlin" is not known`,
		"Sun 02:00-04:00 Local":         "zone Local",
		"Sun 02:00-04:00 ../etc/passwd": "is not known",
		"Sun 02:00-04:00 +01:00":        "is not known",
		"daily 00:00-24:00 UTC":         "it never ends",
		"Mon-Sun 00:00-24:00 UTC":       "it never ends",
		strings.Repeat("Mon,", 40):      "longer than 128 bytes",
	} {
		if w, err := ParseWeekly(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", text, w, err, want)
		}
	}
}

// listPeriods returns when a weekly time begins and ends, from an instant on.
func listPeriods(w *Weekly, from time.Time, n int) string {
	var parts []string
	for at := from; len(parts) < n; {
		holds, next := w.HoldsAt(at)
		word := "+"
		if holds {
			word = "-"
		}
		parts = append(parts, word+next.UTC().Format("01-02T15:04"))
		at = next
	}
	return strings.Join(parts, " ")
}

func TestAWeeklyTimeBeginsAndEndsByTheWallClockOfItsZone(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ spec, from, want string }{
		{"Sun 02:00-04:00 Europe/Berlin", "2026-06-03", "+06-07T00:00 -06-07T02:00 +06-14T00:00 -06-14T02:00"},
		{"Sun 22:00-06:00 UTC", "2026-06-03", "+06-07T22:00 -06-08T06:00 +06-14T22:00"}, // over midnight
		{"Sat,Sun 23:00-01:00 UTC", "2026-06-03", "+06-06T23:00 -06-07T01:00 +06-07T23:00 -06-08T01:00 +06-13T23:00"},
		{"Mon,Tue 00:00-24:00 UTC", "2026-06-03", "+06-08T00:00 -06-10T00:00 +06-15T00:00"}, // one time of two days
		{"daily 12:00-11:00 UTC", "2026-06-03", "-06-03T11:00 +06-03T12:00 -06-04T11:00"},
		{"Mon-Sat 00:00-24:00 UTC", "2026-06-03", "-06-07T00:00 +06-08T00:00"},
		// The clocks are set forward: an hour less, nothing at all, from the change on, until the change.
		{"Sun 02:00-04:00 Europe/Berlin", "2026-03-28", "+03-29T01:00 -03-29T02:00 +04-05T00:00"},
		{"Sun 02:00-03:00 Europe/Berlin", "2026-03-28", "+04-05T00:00 -04-05T01:00"},
		{"Sun 02:15-02:45 Europe/Berlin", "2026-03-20", "+03-22T01:15 -03-22T01:45 +04-05T00:15"},
		{"Sun 02:30-03:30 Europe/Berlin", "2026-03-28", "+03-29T01:00 -03-29T01:30"},
		{"Sun 01:30-02:30 Europe/Berlin", "2026-03-28", "+03-29T00:30 -03-29T01:00"},
		{"Sat 23:00-02:30 Europe/Berlin", "2026-03-28", "+03-28T22:00 -03-29T01:00"},
		// They are set back: from the first to the second.
		{"Sun 02:00-04:00 Europe/Berlin", "2026-10-24", "+10-25T00:00 -10-25T03:00"},
		{"Sun 02:15-02:45 Europe/Berlin", "2026-10-24", "+10-25T00:15 -10-25T01:45"},
		{"Sun 01:30-02:30 Europe/Berlin", "2026-10-24", "+10-24T23:30 -10-25T01:30"},
		{"Sun 02:30-03:30 Europe/Berlin", "2026-10-24", "+10-25T00:30 -10-25T02:30"},
		// Days that begin at one o'clock, and a day that does not exist.
		{"Sun 00:00-01:30 America/Santiago", "2026-09-05", "+09-06T04:00 -09-06T04:30"},
		{"Fri 10:00-12:00 Pacific/Apia", "2011-12-29", "+01-05T20:00 -01-05T22:00"},
	} {
		from, err := time.Parse(time.DateOnly, c.from)
		if err != nil {
			t.Fatal(err)
		}
		n := strings.Count(c.want, " ") + 1
		if got := listPeriods(mustParseWeekly(t, c.spec), from, n); got != c.want {
			t.Errorf("%s from %s:\n have %s\n want %s", c.spec, c.from, got, c.want)
		}
	}
}

// Whatever is asked when, the answers fit together: it holds until next, and not before.
func TestTheAnswersAboutAWeeklyTimeFitTogether(t *testing.T) {
	t.Parallel()
	for _, spec := range []string{"Sun 02:00-04:00 Europe/Berlin", "daily 23:30-00:30 America/New_York", "Sat,Mon 02:30-01:00 Australia/Lord_Howe", "Mon-Fri 00:00-24:00 America/Santiago"} {
		w := mustParseWeekly(t, spec)
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for end := at.AddDate(1, 0, 0); at.Before(end); at = at.Add(97 * time.Minute) {
			holds, next := w.HoldsAt(at)
			if before, same := w.HoldsAt(next.Add(-time.Second)); before != holds || !same.Equal(next) || !next.After(at) {
				t.Fatalf("%s at %v: %v until %v; a second before that: %v until %v", spec, at, holds, next, before, same)
			}
			if after, _ := w.HoldsAt(next); after == holds {
				t.Fatalf("%s at %v: %v, and still at %v", spec, at, holds, next)
			}
		}
	}
}

func FuzzParseWeekly(f *testing.F) {
	for _, text := range []string{"Sun 02:00-04:00 Europe/Berlin", "Mon-Fri,Sun 22:00-06:00 UTC", "daily 00:00-23:59 Pacific/Apia", "Sun 02:00-04:00 ../x"} {
		f.Add(text, int64(1774742400))
	}
	f.Fuzz(func(t *testing.T, text string, at int64) {
		w, err := ParseWeekly(text)
		if err != nil {
			if len(err.Error()) > 500 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
			return
		}
		if again, err := ParseWeekly(w.String()); err != nil || again.String() != w.String() {
			t.Fatalf("%q: %q is read as %v, %v", text, w, again, err)
		}
		now := time.Unix(at%(1<<33), 0)
		if holds, next := w.HoldsAt(now); !next.After(now) || next.Sub(now) > 15*24*time.Hour {
			t.Errorf("%v at %v: %v until %v", w, now, holds, next)
		}
	})
}

func BenchmarkWeekly(b *testing.B) {
	w := mustParseWeekly(b, "Sun 02:00-04:00 Europe/Berlin")
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	for b.Loop() {
		w.HoldsAt(at)
	}
}
