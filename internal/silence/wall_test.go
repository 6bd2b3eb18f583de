package silence

import (
	"testing"
	"time"
)

func mustZone(t *testing.T, name string) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func TestAWallTimeThatComesTwiceHasTwoInstantsAndASkippedOneTheMomentOfTheChange(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ zone, wall, first, last string }{
		{"Europe/Berlin", "2026-06-01T12:00", "2026-06-01T10:00", "2026-06-01T10:00"},
		{"Europe/Berlin", "2026-03-29T01:59", "2026-03-29T00:59", "2026-03-29T00:59"},
		{"Europe/Berlin", "2026-03-29T02:00", "2026-03-29T01:00", "2026-03-29T01:00"}, // skipped: 02:00 is 03:00
		{"Europe/Berlin", "2026-03-29T02:59", "2026-03-29T01:00", "2026-03-29T01:00"},
		{"Europe/Berlin", "2026-03-29T03:00", "2026-03-29T01:00", "2026-03-29T01:00"},
		{"Europe/Berlin", "2026-10-25T01:59", "2026-10-24T23:59", "2026-10-24T23:59"},
		{"Europe/Berlin", "2026-10-25T02:00", "2026-10-25T00:00", "2026-10-25T01:00"}, // twice
		{"Europe/Berlin", "2026-10-25T02:59", "2026-10-25T00:59", "2026-10-25T01:59"},
		{"Europe/Berlin", "2026-10-25T03:00", "2026-10-25T02:00", "2026-10-25T02:00"},
		{"America/New_York", "2026-03-08T02:30", "2026-03-08T07:00", "2026-03-08T07:00"},
		{"America/New_York", "2026-11-01T01:30", "2026-11-01T05:30", "2026-11-01T06:30"},
		{"Australia/Lord_Howe", "2026-10-04T02:15", "2026-10-03T15:30", "2026-10-03T15:30"}, // half an hour
		{"America/Santiago", "2026-09-06T00:00", "2026-09-06T04:00", "2026-09-06T04:00"},    // midnight is skipped
		{"Pacific/Apia", "2011-12-30T12:00", "2011-12-30T10:00", "2011-12-30T10:00"},        // a day is skipped
		{"Asia/Kathmandu", "2026-01-01T00:00", "2025-12-31T18:15", "2025-12-31T18:15"},
		{"UTC", "2026-01-01T00:00", "2026-01-01T00:00", "2026-01-01T00:00"},
	} {
		const layout = "2006-01-02T15:04"
		wall, err := time.Parse(layout, c.wall)
		if err != nil {
			t.Fatal(err)
		}
		first, last := findInstants(wall, mustZone(t, c.zone))
		if got, then := first.UTC().Format(layout), last.UTC().Format(layout); got != c.first || then != c.last {
			t.Errorf("%s in %s: %s and %s, want %s and %s", c.wall, c.zone, got, then, c.first, c.last)
		}
	}
}
