package bench

import (
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

// TestMain also is the child processes that a measurement starts.
func TestMain(m *testing.M) {
	if child, err := runChild(os.Args[1:]); child {
		if err != nil {
			panic(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// runChild runs the child process that the arguments are for, if they are one's.
func runChild(args []string) (child bool, err error) {
	switch {
	case len(args) < 2:
		return false, nil
	case slices.Equal(args[:1], NATSServerArgs):
		port := 0
		if len(args) > 2 {
			if port, err = strconv.Atoi(args[2]); err != nil {
				return true, err
			}
		}
		return true, ServeNATS(args[1], port, os.Stdin, os.Stdout)
	case slices.Equal(args[:1], SoakNodeArgs):
		return true, RunSoakNode(args[1], args[2], os.Stdin, os.Stdout)
	}
	return false, nil
}

func TestEveryPartOfTheWayOutIsMeasured(t *testing.T) {
	f, err := connectServer(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	const n = 1000
	m := &measurement{cfg: PublishConfig{Messages: n, Progress: t.Output()}, server: f, dir: t.TempDir(), report: &PublishReport{Messages: n}}
	if err := m.runAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := f.close(); err != nil {
		t.Error(err)
	}
	r := m.report
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if r.Storm != n/20 || r.CatchUp < 6*n {
		t.Errorf("a storm of %d and an outage of %d messages", r.Storm, r.CatchUp)
	}
	if most := uint64(n + n/40 + r.Storm + 6*n); r.Decided < most {
		t.Errorf("%d decided, want at least %d", r.Decided, most)
	}
	for i, figure := range []float64{r.Whole, r.Bare, r.Ratio, r.Local, r.Forward, r.P50, r.LocalP50, r.StormDurable, r.CatchUpSeconds} {
		if figure <= 0 {
			t.Errorf("figure %d was not measured", i)
		}
	}
	if r.P50 > r.P99 || r.LocalP50 > r.LocalP99 || r.StormDurable > r.StormConfirmed || r.PeakResidentBytes < 1<<20 {
		t.Errorf("these figures cannot be: %+v", r)
	}
}

func TestAMessageThatDidNotArriveIsAnError(t *testing.T) {
	r := PublishReport{Decided: 10, Stored: 9}
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "of 10 messages, the NATS server stored 9") {
		t.Error(err)
	}
}
