package silencer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/silence"
)

func newContext() (context.Context, context.CancelFunc) {
	return context.WithCancel(context.Background())
}

func TestAgentsAreSilencedFromTheAnswerOnUntilTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 6)
		n.start()
		defer n.stop()
		added := n.add(silence.Request{Group: "web", Network: "10.0.0.0/30", For: "2h", Comment: "patch night"})
		if got := n.fleet.silenced(); got != "001 003" {
			t.Errorf("silenced when the answer is here: %q", got)
		}
		if added.Agents != 2 || added.Silence.ID != "1" || added.Silence.State != silence.Active || added.Node != "node01" {
			t.Errorf("%+v", added)
		}
		n.wantRecords("added 1 (group web, network 10.0.0.0/30) by alice 127.0.0.1:5")
		time.Sleep(2*time.Hour - time.Second)
		n.wantSilenced("001 003")
		time.Sleep(time.Second)
		n.wantSilenced("")
		n.wantRecords("expired 1 (group web, network 10.0.0.0/30) by alice")
		if list := n.List(); states(list) != "1 over" || list.Active != 0 {
			t.Errorf("%+v", list)
		}
	})
}

func TestAnAgentIsSilencedWhileAnySilenceHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 6)
		n.start()
		defer n.stop()
		n.add(silence.Request{Agent: "host-[1-4]", For: "1h"})
		n.add(silence.Request{Agent: "003-006", For: "2h"})
		n.add(silence.Request{Agent: "4", For: "3h"})
		n.wantSilenced("001 002 003 004 005 006")
		time.Sleep(time.Hour)
		n.wantSilenced("003 004 005 006")
		if _, err := n.End(t.Context(), "2", "bob", ""); err != nil {
			t.Fatal(err)
		}
		n.wantSilenced("004")
		if list := n.List(); states(list) != "1 over, 2 over, 3 active" || list.Active != 1 || list.Agents != 1 {
			t.Errorf("%+v", list)
		}
		if f := n.Figures(); f.Active != 1 || f.Waiting != 0 {
			t.Errorf("%+v", f)
		}
		time.Sleep(2 * time.Hour)
		n.wantSilenced("")
	})
}

// What selects an agent depends on its address, its groups and who is there.
func TestAnAgentThatChangesIsEvaluatedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 3)
		n.start()
		defer n.stop()
		n.add(silence.Request{Network: "192.0.2.0/24", For: "1h"})
		n.add(silence.Request{Group: "kiosk", For: "1h"})
		n.wantSilenced("")
		looked := n.fleet.countLooked()
		n.fleet.setAgent(1, func(r *detector.Record) { r.IP = "192.0.2.7" })
		n.MarkAgent(1)
		n.fleet.setAgent(2, func(r *detector.Record) { r.Info = unique.Make(detector.Info{Groups: "default,kiosk"}) })
		n.MarkAgent(2)
		n.wantSilenced("001 002")
		n.fleet.setAgent(1, func(r *detector.Record) { r.IP = "198.51.100.1" })
		n.MarkAgent(1)
		n.wantSilenced("002")
		if n.fleet.countLooked() != looked+3 {
			t.Errorf("%d agents were read", n.fleet.countLooked()-looked)
		}
		n.fleet.setAgent(2, func(r *detector.Record) {
			*r = detector.Record{ID: 2, Name: "another", Info: unique.Make(detector.Info{Groups: "kiosk"})}
		}) // removed, and enrolled again
		n.MarkAgent(2)
		n.wantSilenced("002")
		n.fleet.removeAgents(1)
		n.MarkAgent(2)
		n.wantSilenced("")
	})
}

// Another agent may get its ID, when no silence holds any more.
func TestAnAgentThatIsRemovedIsSilencedNoMore(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		removed int
		request silence.Request
	}{
		{"one of a silence that names it", 1, silence.Request{Agent: "2-3", For: "1h"}},
		{"one of a silence over all", 1, silence.Request{All: true, For: "1h"}},
		{"so many that the fleet is read", maxMarks + 1, silence.Request{Agent: "host-*", For: "1h"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				n := newTestNode(t, 2+tt.removed)
				n.start()
				defer n.stop()
				id := n.add(tt.request).Silence.ID
				n.fleet.removeAgents(2)
				n.Silencer.mu.Lock() // all are marked before the first is evaluated
				for i := range tt.removed {
					n.MarkAgent(detector.AgentID(3 + i))
				}
				n.Silencer.mu.Unlock()
				synctest.Wait()
				if later, figure := n.fleet.countLater(), n.Figures().Agents; later != 0 || figure > 2 {
					t.Errorf("%d agents that are gone are silenced, %d are counted", later, figure)
				}
				if _, err := n.End(t.Context(), id, "alice", ""); err != nil {
					t.Fatal(err)
				}
				n.wantSilenced("")
			})
		})
	}
}

func TestAgentsThatChangeCostNothingWhileNobodyIsSilenced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 3)
		n.start()
		defer n.stop()
		looked := n.fleet.countLooked()
		for range 10 * maxMarks {
			n.MarkAgent(1)
		}
		synctest.Wait()
		if n.fleet.countLooked() != looked {
			t.Errorf("%d agents were read", n.fleet.countLooked()-looked)
		}
		n.add(silence.Request{Agent: "nobody", For: "1h"})
		n.fleet.setAgent(3, func(r *detector.Record) { r.Name = "nobody" })
		for range maxMarks {
			n.MarkAgent(1)
		}
		n.MarkAgent(3) // one more than are looked up one by one
		n.wantSilenced("003")
	})
}

func TestAWeeklySilenceBeginsAndEndsByItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // it is Saturday, 2000-01-01 00:00 UTC
		n := newTestNode(t, 2)
		n.start()
		defer n.stop()
		n.add(silence.Request{Agent: "1", Weekly: "Sun 02:00-04:00 Europe/Berlin"})
		n.takeRecords()
		n.wantSilenced("")
		if f := n.Figures(); f.Waiting != 1 || f.Active != 0 {
			t.Errorf("%+v", f)
		}
		time.Sleep(25 * time.Hour)
		n.wantSilenced("001")
		time.Sleep(2 * time.Hour)
		n.wantSilenced("")
		time.Sleep(7 * 24 * time.Hour)
		n.wantSilenced("")
		n.wantRecords("began 1 (agent 1) by alice", "paused 1 (agent 1) by alice", "began 1 (agent 1) by alice", "paused 1 (agent 1) by alice")
		if _, err := n.End(t.Context(), "1", "bob", "peer"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(15 * 24 * time.Hour)
		n.wantRecords("ended 1 (agent 1) by alicebob peer")
		if list := n.List(); len(list.Silences) != 0 {
			t.Errorf("it is still there: %+v", list)
		}
	})
}

// Time is the wall clock's. A clock that was set is noticed within ClockPeriod; what is
// over stays over; before its beginning nothing is silenced.
func TestAClockThatIsSetIsNoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 3)
		n.start()
		defer n.stop()
		n.add(silence.Request{Agent: "1", For: "1h"})
		n.add(silence.Request{Agent: "2", For: "10h"})
		n.add(silence.Request{Agent: "3", Weekly: "Sat 00:00-01:00 UTC"})
		n.wantSilenced("001 002 003")
		n.setClock(-30 * time.Second) // to the time of a server
		n.wantSilenced("001 002")     // Friday
		n.setClock(-2 * time.Hour)
		n.wantSilenced("")
		n.setClock(0)
		n.wantSilenced("001 002 003")
		n.setClock(5 * time.Hour)
		n.wantSilenced("002")
		n.setClock(0)
		n.wantSilenced("002 003") // 001's is over
		n.setClock(400 * 24 * time.Hour)
		n.setClock(0)
		n.wantSilenced("003")
	})
}

func TestSilencesSurviveARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 4)
		n.start()
		n.add(silence.Request{Agent: "1", For: "1h"})
		n.add(silence.Request{Agent: "2", For: "3h", Comment: "c"})
		n.add(silence.Request{Agent: "3", For: "3h"})
		n.add(silence.Request{Agent: "4", Weekly: "Sat 00:00-02:30 UTC"})
		if _, err := n.End(t.Context(), "3", "bob", ""); err != nil {
			t.Fatal(err)
		}
		before := n.List()
		n.stop()
		n.takeRecords()
		if info, err := os.Stat(n.path); err != nil || info.Mode().Perm() != 0o600 {
			t.Error(info.Mode(), err)
		}
		n.fleet.setAgent(3, func(r *detector.Record) { r.Silenced = true }) // as the last message about it says
		time.Sleep(2 * time.Hour)
		n.start()
		n.wantSilenced("002 004")
		n.wantRecords("expired 1 (agent 1) by alice")
		if after := n.List(); after.Silences[2].Entry != before.Silences[2].Entry || states(after) != "1 over, 2 active, 3 over, 4 active" {
			t.Errorf("%+v", after)
		}
		if added := n.add(silence.Request{Agent: "4", For: "1h"}); added.Silence.ID != "5" {
			t.Errorf("an id is used again: %+v", added)
		}
		n.stop()
	})
}

func TestWhoMayEndWhat(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 2)
		of, err := SettingsSilence("night", silence.Entry{Agent: "1", Weekly: "Sat 00:00-01:00 UTC"})
		if err != nil {
			t.Fatal(err)
		}
		n.start(of)
		defer n.stop()
		n.wantSilenced("001")
		n.add(silence.Request{Agent: "2", For: "1h"})
		for id, want := range map[string]error{"settings:night": silence.ErrFromSettings, "2": silence.ErrUnknown, "": silence.ErrUnknown, "1": nil} {
			if _, err := n.End(t.Context(), id, "bob", ""); !errors.Is(err, want) || (want == nil) != (err == nil) {
				t.Errorf("%q: %v, want %v", id, err, want)
			}
		}
		if _, err := n.End(t.Context(), "1", "bob", ""); !errors.Is(err, silence.ErrOver) {
			t.Error(err)
		}
		if _, err := n.End(t.Context(), "1", " ", ""); err == nil || !strings.Contains(err.Error(), "name who does this") {
			t.Error(err)
		}
		if list := n.List(); list.Silences[0].Origin != "settings" || list.Silences[0].ID != "settings:night" || list.Silences[1].Origin != "command" {
			t.Errorf("%+v", list)
		}
		n.takeRecords()
		n.SetSettings([]silence.Silence{of})
		n.wantSilenced("001")
		n.wantRecords()
		n.SetSettings(nil)
		n.wantSilenced("")
		n.wantRecords("paused settings:night (agent 1) by")
	})
}

func TestTenThousandSilencesAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 2)
		f := file{}
		for i := range silence.MaxSilences {
			s, err := (&silence.Request{Agent: "1", For: "1h", By: "a"}).NewSilence(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			f.Silences = append(f.Silences, s.Entry())
			f.Silences[i].ID = idOf(i + 1)
		}
		n.writeStore(f)
		n.start()
		defer n.stop()
		n.wantSilenced("001")
		if _, err := n.Add(t.Context(), &silence.Request{Agent: "2", For: "1h", By: "a"}, ""); !errors.Is(err, silence.ErrTooMany) {
			t.Error(err)
		}
		if _, err := n.End(t.Context(), "7", "a", ""); err != nil {
			t.Error(err)
		}
		n.add(silence.Request{Agent: "2", For: "1h"})
		n.wantSilenced("001 002")
		time.Sleep(time.Hour)
		n.wantSilenced("")
		if list := n.List(); len(list.Silences) != maxOver {
			t.Errorf("%d that are over are kept", len(list.Silences))
		}
	})
}

// Patterns that share nothing that an index can look up are compared with every agent.
func TestAHundredSilencesByPatternsWithoutBeginningAndEndAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 2)
		n.start()
		defer n.stop()
		for i := range silence.MaxUnfiled {
			n.add(silence.Request{Agent: "*x" + idOf(i) + "*", For: "1h"})
		}
		if _, err := n.Add(t.Context(), &silence.Request{Agent: "h-*,*-2*", For: "1h", By: "a"}, ""); !errors.Is(err, silence.ErrTooManyWide) {
			t.Error(err)
		}
		n.add(silence.Request{Agent: "*-2*", Group: "db", For: "1h"})
		n.wantSilenced("002")
	})
}

// A damaged file is refused loudly, counted, put aside, and no reason not to start.
func TestADamagedFileIsRefusedAndEndsNoStart(t *testing.T) {
	t.Parallel()
	const good = `{"id":"3","agent":"1","from":"2000-01-01T00:00:00Z","until":"2000-01-01T01:00:00Z","by":"alice","created_at":"2000-01-01T00:00:00Z"}`
	for text, want := range map[string]struct {
		refused  int
		silenced string
	}{
		"":                            {1, ""},
		"\x00\x00\x00\x00":            {1, ""},
		`{"silences":[` + good:        {1, ""},
		`[]`:                          {1, ""},
		`{"silences":null}`:           {1, ""},
		`{"silences":["x"]}`:          {1, ""},
		`{"silences":[]}`:             {0, ""},
		`{"silences":[` + good + `]}`: {0, "001"},
		`{"silences":[` + good + `,` + good + `]}`:                                                           {1, "001"},
		`{"silences":[` + good + `,` + strings.ReplaceAll(good, `"3"`, `"x"`) + `]}`:                         {1, "001"},
		`{"silences":[` + good + `,` + strings.ReplaceAll(good, `"3"`, `"04"`) + `]}`:                        {1, "001"},
		`{"silences":[` + strings.ReplaceAll(good, `"agent":"1",`, "") + `]}`:                                {1, ""},
		`{"silences":[` + strings.ReplaceAll(good, `"agent":"1"`, `"agent":"web-["`) + `]}`:                  {1, ""},
		`{"silences":[` + strings.ReplaceAll(good, `2000-01-01T01`, `2999-01-01T01`) + `]}`:                  {1, ""},
		`{"silences":[` + strings.ReplaceAll(good, `"by":"alice"`, `"by":""`) + `]}`:                         {1, ""},
		`{"silences":[` + strings.ReplaceAll(good, `"until"`, `"weekly":"daily 00:00-24:00 UTC","x"`) + `]}`: {1, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := newTestNode(t, 1)
			if err := os.WriteFile(n.path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			n.start()
			defer n.stop()
			n.wantSilenced(want.silenced)
			if f := n.Figures(); f.Refused != want.refused || n.List().Refused != want.refused {
				t.Errorf("%q: %+v", text, f)
			}
			if logged := n.logged.String(); (want.refused > 0) != strings.Contains(logged, "level=ERROR") {
				t.Errorf("%q: logged %s", text, logged)
			}
			aside, err := os.ReadFile(n.path + ".damaged")
			if (want.refused > 0) != (err == nil) || string(aside) != text && want.refused > 0 {
				t.Errorf("%q: put aside %q, %v", text, aside, err)
			}
			n.add(silence.Request{Agent: "1", For: "1h"})
			n.wantSilenced("001")
		})
	}
}

// While nothing can be written, no silence is added that a restart would forget. One can
// be ended all the same.
func TestASilenceThatCannotBeKeptIsRefusedAndOneIsEndedAllTheSame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 2)
		n.start()
		defer func() { n.stop() }()
		n.add(silence.Request{Agent: "1", For: "1h"})
		dir := filepath.Dir(n.path)
		if err := os.Rename(dir, dir+".away"); err != nil {
			t.Fatal(err)
		}
		if _, err := n.Add(t.Context(), &silence.Request{Agent: "2", For: "1h", By: "a"}, ""); !errors.Is(err, silence.ErrUnstored) {
			t.Error(err)
		}
		n.wantSilenced("001")
		if _, err := n.End(t.Context(), "1", "a", ""); err != nil {
			t.Error(err)
		}
		n.wantSilenced("")
		if err := os.Rename(dir+".away", dir); err != nil {
			t.Fatal(err)
		}
		if again := n.postponed["silences"]; again == nil || again() != nil {
			t.Fatal("the end is not written again")
		}
		n.stop()
		n.start()
		if states(n.List()) != "1 over" {
			t.Errorf("%+v", n.List())
		}
	})
}

func TestAWeekWithTenThousandWeeklySilencesEvaluatesEachAgentOnceForAllThatBegin(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		n := newTestNode(t, 2000)
		var f file
		for i := range silence.MaxSilences {
			s, err := (&silence.Request{Agent: "host-" + idOf(i+1) + "*", Weekly: "Sun 02:00-04:00 UTC", By: "a"}).NewSilence(time.Now())
			if err != nil {
				t.Fatal(err)
			}
			f.Silences = append(f.Silences, s.Entry())
			f.Silences[i].ID = idOf(i + 1)
		}
		n.writeStore(f)
		n.start()
		defer n.stop()
		looked := n.fleet.countLooked()
		time.Sleep(27 * time.Hour)
		synctest.Wait()
		if f := n.Figures(); f.Active != silence.MaxSilences || f.Agents != 2000 {
			t.Errorf("%+v", f)
		}
		time.Sleep(4 * time.Hour)
		n.wantSilenced("")
		if got := n.fleet.countLooked() - looked; got != 2*2000 {
			t.Errorf("%d agents were read", got)
		}
		if got := len(slices.DeleteFunc(n.takeRecords(), func(r string) bool { return !strings.HasPrefix(r, "began") })); got != silence.MaxSilences {
			t.Errorf("%d beginnings were recorded", got)
		}
	})
}
