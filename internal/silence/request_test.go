package silence

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var noon = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func mustRequest(t testing.TB, text string) Silence {
	t.Helper()
	r, err := ParseRequest([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	s, err := r.NewSilence(noon)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return s
}

// Times are whole seconds; a length is one from the moment of the request on.
func TestASilenceIsNotShorterThanItsLength(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ after, length, want time.Duration }{
		{0, 10 * time.Second, 10 * time.Second},
		{time.Millisecond, 10 * time.Second, 11 * time.Second},
		{999 * time.Millisecond, 10 * time.Second, 11 * time.Second},
		{500 * time.Millisecond, 1500 * time.Millisecond, 2 * time.Second},
		{500 * time.Millisecond, MaxLength, MaxLength},
	} {
		r := Request{All: true, For: tt.length.String(), By: "alice"}
		s, err := r.NewSilence(noon.Add(tt.after))
		if err != nil {
			t.Errorf("%v after noon, for %v: %v", tt.after, tt.length, err)
		} else if !s.From.Equal(noon) || s.Until.Sub(noon) != tt.want {
			t.Errorf("%v after noon, for %v: from %v until %v", tt.after, tt.length, s.From, s.Until)
		}
	}
}

func TestASilenceHoldsOnceFromNowUntilItsEnd(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"agent":"web-*","for":"2h","comment":" patch night ","by":" alice "}`,
		`{"agent":"web-*","until":"2026-06-01T16:00:00+02:00","comment":"patch night","by":"alice"}`, `{"agent":"web-*","for":"7200","comment":"patch night","by":"alice"}`} {
		s := mustRequest(t, text)
		want := Entry{Agent: "web-*", From: noon, Until: noon.Add(2 * time.Hour), Comment: "patch night", By: "alice", CreatedAt: noon}
		if diff := cmp.Diff(want, s.Entry()); diff != "" {
			t.Errorf("%s: %s", text, diff)
		}
		for at, holds := range map[time.Duration]bool{-time.Hour: false, -2 * time.Minute: false, -30 * time.Second: true, 0: true, 2*time.Hour - 1: true, 2 * time.Hour: false, 3 * time.Hour: false} {
			if got, _ := s.HoldsAt(noon.Add(at)); got != holds {
				t.Errorf("%v after it began: %v", at, got)
			}
		}
		if _, next := s.HoldsAt(noon); !next.Equal(s.Until) {
			t.Errorf("it changes at %v", next)
		}
	}
}

func TestNonsenseRequestsAreRefusedWithWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                          "not a JSON object",
		`[]`:                        "not a JSON object",
		`{"agent":"1"`:              "not JSON",
		`{"agent":"1"} x`:           "not JSON",
		`{"agents":"1"}`:            `unknown field "agents": known are all, agent`,
		`{"Agent":"1"}`:             `unknown field "Agent"`,
		`{"agent":"1","agent":"2"}`: `field "agent" is there twice`,
		`{"agent":null}`:            `field "agent": null`,
		`{"agent":"1","group":""}`:  `field "group": empty: leave it out, if it is no condition`,
		`{"agent":1}`:               `field "agent": not a string`,
		`{"all":"yes"}`:             `field "all": not a bool`,
		"{\"agent\":\"\xff\"}":      "not UTF-8",
		`{"agent":"` + strings.Repeat("1", MaxRequest) + `"}`:              "longer than 8192 bytes",
		`{"agent":"1","for":"1h"}`:                                         "by: name who does this",
		`{"agent":"1","for":"1h","by":"` + strings.Repeat("b", 65) + `"}`:  "by: longer than 64 bytes",
		`{"agent":"1","for":"1h","by":"a","comment":"\u001b[2J"}`:          "comment: has a character that cannot be printed",
		`{"for":"1h","by":"a"}`:                                            "it selects no agent",
		`{"all":true,"agent":"1","for":"1h","by":"a"}`:                     "one or the other",
		`{"agent":"1","by":"a"}`:                                           "it has no end: want for, until or weekly",
		`{"agent":"1","for":"1h","weekly":"Sun 02:00-04:00 UTC","by":"a"}`: "more than one of for, until and weekly",
		`{"agent":"1","for":"0","by":"a"}`:                                 "want 1s to 366d",
		`{"agent":"1","for":"-5m","by":"a"}`:                               "want 1s to 366d",
		`{"agent":"1","for":"367d","by":"a"}`:                              "want 1s to 366d",
		`{"agent":"1","for":"9999999999999d","by":"a"}`:                    "want 1s to 366d",
		`{"agent":"1","for":"soon","by":"a"}`:                              "want seconds, or a duration",
		`{"agent":"1","until":"tomorrow","by":"a"}`:                        "want a time such as 2026-06-01T14:00:00Z",
		`{"agent":"1","until":"2026-06-01T12:00:00Z","by":"a"}`:            "which is not after its beginning",
		`{"agent":"1","until":"2025-06-01T12:00:00Z","by":"a"}`:            "which is not after its beginning",
		`{"agent":"1","until":"0001-01-01T00:00:00Z","by":"a"}`:            "it has no end",
		`{"agent":"1","until":"2027-06-03T12:00:00Z","by":"a"}`:            "more than a year",
		`{"agent":"1","until":"9999-12-31T23:59:59Z","by":"a"}`:            "more than a year",
		`{"agent":"1","weekly":"Sun 02:00-02:00 UTC","by":"a"}`:            "weekly: hours 02:00-02:00: it ends when it begins",
	} {
		r, err := ParseRequest([]byte(text))
		if err == nil {
			_, err = r.NewSilence(noon)
		}
		if err == nil || !strings.Contains(err.Error(), want) || len(err.Error()) > 400 {
			t.Errorf("%.80s: want %q, have %v", text, want, err)
		}
	}
}

func TestASilenceThatIsOverStaysOver(t *testing.T) {
	t.Parallel()
	for _, text := range []string{`{"all":true,"for":"2h","by":"alice"}`, `{"all":true,"weekly":"Mon 11:00-13:00 UTC","by":"alice"}`} {
		s := mustRequest(t, text)
		if shown := s.Show(noon); shown.State != Active || shown.Origin != "command" || shown.Next.IsZero() {
			t.Errorf("%+v", shown)
		}
		s.EndedAt, s.EndedBy = noon, "bob"
		if holds, next := s.HoldsAt(noon); holds || !next.IsZero() || s.Show(noon).State != Over {
			t.Errorf("%s: %v until %v", text, holds, next)
		}
	}
	weekly := mustRequest(t, `{"all":true,"weekly":"Tue 11:00-13:00 UTC","by":"alice"}`)
	if shown := weekly.Show(noon); shown.State != Waiting || !shown.Next.Equal(noon.Add(23*time.Hour)) {
		t.Errorf("%+v", shown)
	}
}

func FuzzRequest(f *testing.F) {
	for _, text := range []string{`{"agent":"web-*","group":"a,b","network":"10.0.0.0/8","for":"2h","comment":"c","by":"alice"}`,
		`{"all":true,"weekly":"Sun 02:00-04:00 Europe/Berlin","by":"b"}`, `{"agent":"1-9","until":"2026-06-02T00:00:00Z","by":"b"}`, `{"agent":"1","agent":"2"}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRequest(data)
		if err != nil {
			return
		}
		s, err := r.NewSilence(noon)
		if err != nil {
			return
		}
		if _, next := s.HoldsAt(noon); !next.After(noon) {
			t.Fatalf("%s: it changes at %v", data, next)
		}
		entry := s.Entry()
		text, err := json.Marshal(entry)
		if err != nil {
			t.Fatal(err)
		}
		var again Entry
		if err := json.Unmarshal(text, &again); err != nil {
			t.Fatal(err)
		}
		kept, err := ParseEntry(&again)
		if err != nil {
			t.Fatalf("%s is refused when it is read again: %v", text, err)
		}
		if diff := cmp.Diff(entry, kept.Entry()); diff != "" {
			t.Errorf("%s is another when it is read again: %s", data, diff)
		}
		for _, a := range []*Agent{{ID: 1, Name: "web-1", IP: "10.0.0.1", Groups: "a"}, {ID: 9, Name: "b", IP: "any"}} {
			if s.Selector.Matches(a) != NewIndex([]*Selector{&s.Selector}).Selects(a) {
				t.Errorf("%v and its index differ about %+v", &s.Selector, a)
			}
		}
	})
}
