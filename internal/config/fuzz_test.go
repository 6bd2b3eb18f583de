package config

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// FuzzLoad holds that any bytes give either settings that print to a file of the same meaning, or a bounded number of
// bounded lines.
func FuzzLoad(f *testing.F) {
	for _, path := range []string{"testdata/full.conf", "testdata/ossec.conf", "testdata/full.printed"} {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, tt := range slices.Concat(errorTests, groupErrorTests, silenceErrorTests) {
		f.Add([]byte(tt.text))
	}
	for _, text := range groupTexts {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := read(string(data))
		if err != nil {
			checkLines(t, err)
			return
		}
		if l.Remote.Port < 1 || l.KeepAlive.Timeout < l.KeepAlive.Interval || l.Pulse.NodeName == "" || !l.Remote.TCP && !l.Remote.UDP {
			t.Errorf("accepted what no daemon can run with: %+v", l.Config)
		}
		for _, g := range l.Groups {
			if g.Timeout < g.Interval || g.MaxMissed < 1 || g.IDs == nil && g.Names == nil && g.Addresses == nil && g.WazuhGroups == nil {
				t.Errorf("accepted what no group can be: %+v", g)
			}
		}
		var b bytes.Buffer
		if err := l.WriteXML(&b); err != nil {
			t.Fatal(err)
		}
		again, err := read(b.String())
		if err != nil {
			t.Fatalf("printed settings are refused: %v\n%s", err, &b)
		}
		if diff := cmp.Diff(l.Config, again.Config, compareAddr); diff != "" {
			t.Errorf("printed settings mean something else:\n%s", diff)
		}
	})
}

func checkLines(t *testing.T, err error) {
	lines := strings.Split(err.Error(), "\n")
	if len(lines) > maxErrors+1 {
		t.Errorf("%d lines of errors", len(lines))
	}
	for _, line := range lines {
		if len(line) > 1000 || !strings.HasPrefix(line, "pulse.conf:") && !strings.HasPrefix(line, "and ") {
			t.Errorf("not a proper line: %q", line)
		}
	}
}
