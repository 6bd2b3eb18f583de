package silencer

import (
	"encoding/json"
	"os"
	"strconv"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/silence"
)

func idOf(n int) string { return strconv.Itoa(n) }

func (n *testNode) writeStore(f file) {
	n.t.Helper()
	data, err := json.Marshal(f)
	if err == nil {
		err = os.WriteFile(n.path, data, 0o600)
	}
	if err != nil {
		n.t.Fatal(err)
	}
}

// FuzzStoredFile holds that any file gives silences that make sense, and that are the same
// when they are written and read again.
func FuzzStoredFile(f *testing.F) {
	f.Add([]byte(`{"last_id":3,"silences":[{"id":"3","agent":"1","from":"2000-01-01T00:00:00Z","until":"2000-01-01T01:00:00Z","by":"alice","created_at":"2000-01-01T00:00:00Z"}]}`))
	f.Add([]byte(`{"silences":[{"id":"1","all":true,"weekly":"Sun 02:00-04:00 UTC","by":"a","created_at":"2000-01-01T00:00:00Z"},{"id":"1"}]}`))
	f.Add([]byte(`{"silences":`))
	read := func(data []byte) (*Silencer, int) {
		f, err := parseFile(data)
		if err != nil {
			return nil, 1
		}
		kept, refused := checkEntries(&f)
		s := &Silencer{lastID: f.Last}
		for i := range kept {
			s.kept = append(s.kept, &held{Silence: kept[i]})
		}
		return s, len(refused)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, _ := read(data)
		if s == nil {
			return
		}
		for _, h := range s.kept {
			if h.By == "" || h.Weekly == nil && (h.Until.Sub(h.From) > silence.MaxLength || !h.From.Before(h.Until)) {
				t.Errorf("%+v", h.Entry())
			}
		}
		again, refused := read(s.encodeFile())
		if again == nil || refused > 0 || string(s.encodeFile()) != string(again.encodeFile()) {
			t.Errorf("%s is another when it is read again", s.encodeFile())
		}
	})
}
