package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/wazuh-pulse/pulse/event"
)

var start = time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)

func at(hours float64) time.Time { return start.Add(time.Duration(hours * float64(time.Hour))) }

func lost(id string, hours float64, reason event.Reason) Change {
	return Change{At: at(hours), KnownAt: at(hours).Add(2 * time.Second), LastSeen: at(hours).Add(-18 * time.Second), Node: "node01", Agent: id, Name: "host-" + id,
		IP: "10.0.0.1", Groups: []string{"web", "prod"}, From: event.Active, To: event.Disconnected, Reason: reason, Host: event.HostAnswers}
}

func back(id string, hours float64) Change {
	return Change{At: at(hours), KnownAt: at(hours), Node: "node01", Agent: id, Name: "host-" + id, IP: "10.0.0.1", From: event.Disconnected, To: event.Active, Reason: event.Reconnected}
}

func newDay() *Builder {
	b := NewBuilder(start, at(24))
	b.AddRun("node01", start, at(24))
	return b
}

func TestAvailabilityIsThePartOfTheTimeThatAnAgentWasThere(t *testing.T) {
	for _, tt := range []struct {
		name     string
		fill     func(b *Builder)
		want     float64 // hours there, of 24 unless of is set
		of       float64
		losses   int
		longest  float64 // hours
		absences int     // that ended
	}{
		{"away for six hours", func(b *Builder) { b.AddChange(lost("001", 6, event.ConnectionLost)); b.AddChange(back("001", 12)) }, 18, 24, 1, 6, 1},
		{"in the order of their times, whatever order they come in", func(b *Builder) { b.AddChange(back("001", 12)); b.AddChange(lost("001", 6, event.ConnectionLost)) }, 18, 24, 1, 6, 1},
		{"away before the time", func(b *Builder) { b.AddChange(lost("001", -30, event.ConnectionLost)); b.AddChange(back("001", 12)) }, 12, 24, 0, 12, 1},
		{"away to the end", func(b *Builder) { b.AddChange(lost("001", 18, event.KeepAliveTimeout)) }, 18, 24, 1, 6, 0},
		{"all that was before the time", func(b *Builder) { b.AddChange(lost("001", -20, event.ConnectionLost)); b.AddChange(back("001", -10)) }, 24, 24, 0, 0, 0},
		{"registered in between", func(b *Builder) {
			b.AddChange(Change{At: at(6), Agent: "001", From: event.NeverConnected, To: event.Pending, Reason: event.Startup})
			b.AddChange(Change{At: at(6), KnownAt: at(6.001), Agent: "001", From: event.Pending, To: event.Active, Reason: event.Connected})
		}, 18, 18, 0, 0, 0},
		{"removed in between", func(b *Builder) { b.AddChange(lost("001", 6, event.AgentRemoved)) }, 6, 6, 0, 0, 0},
		{"moved to another node", func(b *Builder) {
			b.AddChange(Change{At: at(6), Agent: "001", From: event.Active, To: event.Active, Reason: event.AgentMoved, Node: "node02"})
		}, 24, 24, 0, 0, 0},
		{"after the time", func(b *Builder) {
			b.AddChange(back("001", 1))
			b.AddChange(lost("001", 25, event.ConnectionLost))
		}, 23, 24, 0, 1, 1},
		{"never changed", func(b *Builder) {
			b.SetPresent([]Agent{{ID: "001", Name: "host-001", Status: event.Active, Since: at(-500)}})
		}, 24, 24, 0, 0, 0},
	} {
		b := newDay()
		tt.fill(b)
		r := b.Report(ByAgent)
		if len(r.Rows) != 1 || r.Rows[0].Availability == nil {
			t.Errorf("%s: rows %+v", tt.name, r.Rows)
			continue
		}
		row := r.Rows[0]
		if got, want := *row.Availability, tt.want/tt.of; got < want-1e-4 || got > want+1e-4 || row.Losses != tt.losses || r.Losses != tt.losses ||
			row.Longest/3600 < tt.longest-1e-4 || row.Longest/3600 > tt.longest+1e-4 || r.Away.Count != tt.absences {
			t.Errorf("%s: availability %v, want %v; %+v", tt.name, got, want, row)
		}
	}
}

func TestTheTimeInWhichPulseDidNotRunCountsNeitherWay(t *testing.T) {
	b := NewBuilder(start, at(24))
	b.AddRun("node01", at(-5), at(6))
	b.AddRun("node01", at(18), at(30))
	b.AddRun("node02", at(20), at(22)) // while node01 ran, too
	b.AddChange(lost("001", 3, event.ConnectionLost))
	b.AddChange(back("001", 21))
	r := b.Report(ByAgent)
	if r.Watched != 0.5 || *r.Availability != 0.5 {
		t.Errorf("watched %v, availability %v", r.Watched, *r.Availability)
	}
}

func TestRowsAreByAgentGroupNetworkOrNode(t *testing.T) {
	b := newDay()
	b.AddChange(lost("001", 6, event.ConnectionLost))
	b.AddChange(back("001", 12))
	other := lost("002", 12, event.KeepAliveTimeout)
	other.IP, other.Groups, other.Node, other.Host = "10.0.1.9", []string{"prod"}, "node02", ""
	b.AddChange(other)
	for by, want := range map[By][]string{ByAgent: {"002", "001"}, ByGroup: {"prod", "web"}, ByNetwork: {"10.0.1.0/24", "10.0.0.0/24"}, ByNode: {"node02", "node01"}} {
		r := b.Report(by)
		var keys []string
		for _, row := range r.Rows {
			keys = append(keys, row.Key)
		}
		if diff := cmp.Diff(want, keys); diff != "" {
			t.Errorf("by %s (- want, + got):\n%s", by, diff)
		}
		if r.Losses != 2 || r.Agents != 2 || *r.Availability != 0.625 {
			t.Errorf("by %s: %+v", by, r)
		}
	}
	r := b.Report(ByAgent)
	if diff := cmp.Diff(Quantiles{2, 20, 20, 20, 20}, r.Detection); diff != "" {
		t.Error(diff)
	}
	if r.Hosts[event.HostAnswers] != 1 || r.Reasons[event.ConnectionLost] != 1 || len(r.AwayNow) != 1 || r.AwayNow[0].ID != "002" {
		t.Errorf("%+v", r)
	}
}

func TestWhatIsExpectedIsComparedWithTheFleet(t *testing.T) {
	for name, text := range map[string]string{
		"a name a line":        "web-1\nDB-1\n\n# comment\nold.example.com\n",
		"a column":             "id,Hostname,owner\n7,web-1.example.com,me\n8,db-1,you\n9,old,\n",
		"semicolons, quoted":   "\ufeff\"owner\";\"Name\"\n\"me, too\";web-1\nyou;db-1\nx;old\n",
		"tabs, and short rows": "name\towner\nweb-1\ndb-1\tx\nold\n",
	} {
		names, err := ReadExpected(strings.NewReader(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		b := newDay()
		b.SetExpected(names)
		b.SetPresent([]Agent{{ID: "001", Name: "web-1", Status: event.Active}, {ID: "002", Name: "db-1.example.com", Status: event.NeverConnected}, {ID: "003", Name: "rogue"}})
		r := b.Report(ByAgent)
		if len(r.Missing) != 1 || hostPart(foldName(r.Missing[0])) != "old" || len(r.Unexpected) != 1 || r.Unexpected[0].ID != "003" ||
			len(r.NeverConnected) != 1 || r.NeverConnected[0].ID != "002" {
			t.Errorf("%s: missing %q, unexpected %v, never connected %v", name, r.Missing, r.Unexpected, r.NeverConnected)
		}
	}
	for name, text := range map[string]string{"nothing": "", "a heading alone": "name,owner\n", "blank": "\n \n"} {
		if names, err := ReadExpected(strings.NewReader(text)); err == nil {
			t.Errorf("%s: %q", name, names)
		}
	}
}

func FuzzReadExpected(f *testing.F) {
	f.Add([]byte("name;x\na;b"))
	f.Add([]byte("\"a\nb\",\"\"\"\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		names, err := ReadExpected(bytes.NewReader(data))
		if err == nil && len(names) == 0 {
			t.Error("no names, and no error")
		}
	})
}

func TestNamesOfAgentsAreNoFormulasAndNoMarkup(t *testing.T) {
	b := newDay()
	c := lost("001", 6, event.ConnectionLost)
	c.Name = `=HYPERLINK("http://x","<script>alert(1)</script>")`
	b.AddChange(c)
	r := b.Report(ByAgent)
	var text bytes.Buffer
	if err := r.WriteCSV(&text); err != nil {
		t.Fatal(err)
	}
	rows, err := csv.NewReader(&text).ReadAll()
	if err != nil || len(rows) != 2 || !strings.HasPrefix(rows[1][1], "'=") || rows[0][7] != "losses_connection_lost" || rows[1][3] != "25.000" {
		t.Errorf("%q, %v", rows, err)
	}
	text.Reset()
	if err := r.WriteHTML(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "<script>") || !strings.Contains(text.String(), "25.000 %") {
		t.Error(text.String())
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
}

func TestDurationsHaveTwoUnitsAndNoZeros(t *testing.T) {
	for seconds, want := range map[float64]string{2.04: "2.0 s", 59: "59 s", 60: "1 min", 61: "1 min 1 s", 3600: "1 h", 5400: "1 h 30 min", 86400: "1 d", 90000: "1 d 1 h"} {
		if got := FormatSeconds(seconds); got != want {
			t.Errorf("%v: %q, want %q", seconds, got, want)
		}
	}
}
