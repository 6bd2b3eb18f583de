package seal

import (
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/event"
)

const (
	statusSubject    = "wazuh.xdr.agent.001.status_change"
	telemetrySubject = "wazuh.xdr.manager.keepalive.001"
)

func security(subject string, epoch, sequence uint64) *event.Security {
	return &event.Security{Source: event.Origin, Node: "node01", Epoch: epoch, Sequence: sequence, IssuedAt: madeAt.UnixMilli(), Subject: subject}
}

// shown is a message that a guard is shown, and what it makes of it.
type shown struct {
	epoch, sequence uint64
	want            error
	passage         GuardResult
}

func TestTheGuardLetsEachMessageThroughOnce(t *testing.T) {
	first, late := GuardResult{NewEpoch: true}, GuardResult{Late: true}
	for _, tt := range []struct {
		name  string
		shown []shown
	}{
		{"in order", []shown{{1, 1, nil, first}, {1, 2, nil, GuardResult{}}, {1, 3, nil, GuardResult{}}}},
		{"from the middle on", []shown{{1, 500, nil, first}, {1, 501, nil, GuardResult{}}}},
		{"twice", []shown{{1, 5, nil, first}, {1, 5, ErrReplayed, GuardResult{}}, {1, 6, nil, GuardResult{}}, {1, 5, ErrReplayed, GuardResult{}}}},
		{"in another order", []shown{{1, 5, nil, first}, {1, 3, nil, late}, {1, 4, nil, late}, {1, 3, ErrReplayed, GuardResult{}}}},
		{"at the window's edge", []shown{{1, 100, nil, first}, {1, 100 - 63, nil, late}, {1, 100 - 64, ErrReplayed, GuardResult{}},
			{1, 101, nil, GuardResult{}}, {1, 100 - 63, ErrReplayed, GuardResult{}}, {1, 101 - 63, nil, late}}},
		{"a jump of exactly a window", []shown{{1, 10, nil, first}, {1, 74, nil, GuardResult{}}, {1, 10, ErrReplayed, GuardResult{}}, {1, 11, nil, late}}},
		{"a far jump", []shown{{1, 10, nil, first}, {1, 1 << 40, nil, GuardResult{}}, {1, 1<<40 - 63, nil, late}, {1, 1<<40 - 64, ErrReplayed, GuardResult{}}}},
		{"the last numbers there are", []shown{{1, math.MaxUint64 - 1, nil, first}, {1, math.MaxUint64, nil, GuardResult{}},
			{1, math.MaxUint64, ErrReplayed, GuardResult{}}, {1, 1, ErrReplayed, GuardResult{}}}},
		{"the node starts again", []shown{{5, 100, nil, first}, {6, 1, nil, first}, {6, 2, nil, GuardResult{}}, {6, 1, ErrReplayed, GuardResult{}}}},
		{"an epoch that is over", []shown{{5, 100, nil, first}, {6, 1, nil, first}, {5, 101, ErrReplayed, GuardResult{}}, {5, 100, ErrReplayed, GuardResult{}}, {6, 2, nil, GuardResult{}}}},
		{"no number", []shown{{1, 0, ErrMalformed, GuardResult{}}, {0, 1, ErrMalformed, GuardResult{}}, {1, 1, nil, first}}},
	} {
		for _, subject := range []string{statusSubject, telemetrySubject} {
			g := NewGuard(GuardConfig{Window: 64})
			for i, m := range tt.shown {
				p, err := g.Check(security(subject, m.epoch, m.sequence), madeAt)
				if !errors.Is(err, m.want) || p != m.passage {
					t.Errorf("%s: message %d (%d of %d) on %s: got %+v, %v; want %+v, %v", tt.name, i+1, m.sequence, m.epoch, subject, p, err, m.passage, m.want)
				}
			}
		}
	}
}

func TestNodesAndStreamsDoNotDisturbEachOther(t *testing.T) {
	g := NewGuard(GuardConfig{Window: 64})
	other := security(statusSubject, 3, 5)
	other.Node = "node02"
	for _, s := range []*event.Security{security(statusSubject, 7, 5), other, security(telemetrySubject, 6, 100000),
		security(statusSubject, 7, 6), security(telemetrySubject, 6, 5+99999), security(telemetrySubject, 7, 7)} {
		if _, err := g.Check(s, madeAt); err != nil {
			t.Errorf("%+v: %v", s, err)
		}
	}
	for subject, want := range map[string]bool{"wazuh.xdr.manager.status.node01": true, "a.manager.keepalive.007": true, "manager.alerts.fleet_outage": false,
		"x.manager.alerts.agent_flapping": false, statusSubject: false, "": false, "a.b": false} {
		if isTelemetry(subject) != want {
			t.Errorf("%q is telemetry: %v", subject, !want)
		}
	}
}

// A thief of a key, or a node whose clock was wrong, keeps nobody out for good.
func TestAnEpochOfTheFutureKeepsNobodyOut(t *testing.T) {
	start := uint64(madeAt.Unix())
	for name, tt := range map[string]struct {
		cfg   GuardConfig
		epoch uint64
		want  error
	}{
		"the highest there is":           {GuardConfig{}, math.MaxUint64, ErrFuture},
		"above what a time can be":       {GuardConfig{}, math.MaxInt64 + 1, ErrFuture},
		"in an hour":                     {GuardConfig{}, start + 3600, ErrFuture},
		"beyond the skew and the starts": {GuardConfig{}, start + 120 + 61, ErrFuture},
		"within the skew":                {GuardConfig{}, start + 120 + 60, nil},
		"60 starts within a second":      {GuardConfig{MaxAhead: time.Nanosecond}, start + 60, nil},
		"61 starts within a second":      {GuardConfig{MaxAhead: time.Nanosecond}, start + 61, ErrFuture},
		"a day, which is let through":    {GuardConfig{MaxAhead: 24 * time.Hour}, start + 86400, nil},
		"any, as any time is":            {GuardConfig{MaxAhead: -1}, math.MaxUint64, nil},
	} {
		g := NewGuard(tt.cfg)
		for _, subject := range []string{"wazuh.xdr.agent.001.status_change", "wazuh.xdr.manager.status.node01"} {
			far := event.Security{Node: "node01", Subject: subject, Epoch: tt.epoch, Sequence: 1, IssuedAt: madeAt.UnixMilli()}
			_, err := g.Check(&far, madeAt)
			wantError(t, name, err, tt.want)
			if tt.want == nil {
				continue
			}
			honest := far
			honest.Epoch = start
			if _, err := g.Check(&honest, madeAt); err != nil {
				t.Errorf("%s: the node's own message: %v", name, err)
			}
		}
	}
}

func TestMessagesOutOfTimeAreRefused(t *testing.T) {
	for _, tt := range []struct {
		cfg  GuardConfig
		age  time.Duration
		want error
	}{
		{GuardConfig{}, DefaultMaxAge, nil}, {GuardConfig{}, DefaultMaxAge + time.Second, ErrStale},
		{GuardConfig{}, -DefaultMaxAhead, nil}, {GuardConfig{}, -DefaultMaxAhead - time.Second, ErrFuture},
		{GuardConfig{MaxAge: time.Minute}, time.Minute, nil}, {GuardConfig{MaxAge: time.Minute}, time.Minute + time.Millisecond, ErrStale},
		{GuardConfig{MaxAhead: time.Second}, -2 * time.Second, ErrFuture},
		{GuardConfig{MaxAge: -1, MaxAhead: -1}, 1e5 * time.Hour, nil}, {GuardConfig{MaxAge: -1, MaxAhead: -1}, -1e5 * time.Hour, nil},
	} {
		g := NewGuard(tt.cfg)
		_, err := g.Check(security(statusSubject, 1, 1), madeAt.Add(tt.age))
		wantError(t, tt.age.String(), err, tt.want)
		if _, again := g.Check(security(statusSubject, 1, 1), madeAt); tt.want != nil && again != nil {
			t.Errorf("%v: a refused message is remembered: %v", tt.age, again)
		}
	}
}

func TestWhatIsMissingIsTold(t *testing.T) {
	g := NewGuard(GuardConfig{Window: 64, Complete: true})
	pass := func(subject string, epoch, sequence, missing uint64) {
		t.Helper()
		if p, err := g.Check(security(subject, epoch, sequence), madeAt); err != nil || p.Missing != missing {
			t.Errorf("%d of %d on %s: %+v, %v; want %d missing", sequence, epoch, subject, p, err, missing)
		}
	}
	gaps := func(want ...Gap) {
		t.Helper()
		if diff := cmp.Diff(want, g.Gaps()); diff != "" {
			t.Errorf("gaps (- want, + got):\n%s", diff)
		}
	}
	pass(telemetrySubject, 7, 10, 0) // what came before we listened is not missing
	pass(statusSubject, 7, 11, 0)
	pass(telemetrySubject, 7, 12, 0)
	gaps()
	pass(statusSubject, 7, 20, 0) // telemetry is behind, and no message of it is due yet
	gaps()
	pass(telemetrySubject, 7, 16, 3) // 13, 14 and 15
	gaps(Gap{"node01", 7, 13, 15})
	pass(telemetrySubject, 7, 14, 0)
	gaps(Gap{"node01", 7, 13, 13}, Gap{"node01", 7, 15, 15})
	pass(statusSubject, 7, 13, 0)
	pass(statusSubject, 7, 15, 0)
	gaps()
	pass(telemetrySubject, 8, 3, 2) // the node starts again, and its first two messages are gone
	gaps(Gap{"node01", 8, 1, 2})
	pass(statusSubject, 8, 500, 0)
	gaps() // the status changes of that time are forgotten: nobody can say any more
}

func TestOneStreamAloneMakesNoGaps(t *testing.T) {
	g := NewGuard(GuardConfig{})
	for _, q := range []uint64{1, 7, 9} {
		if p, err := g.Check(security(telemetrySubject, 1, q), madeAt); err != nil || p.Missing != 0 {
			t.Errorf("%+v, %v", p, err)
		}
	}
	if gaps := g.Gaps(); gaps != nil {
		t.Errorf("%v", gaps)
	}
}

func TestARestartedConsumerLetsNothingThroughAgain(t *testing.T) {
	cfg := GuardConfig{Window: 128, Complete: true}
	g := NewGuard(cfg)
	var all []*event.Security
	for q := uint64(1); q < 400; q += 1 + q%3 {
		subject := telemetrySubject
		if q%5 == 0 {
			subject = statusSubject
		}
		all = append(all, security(subject, 9, q))
		if _, err := g.Check(all[len(all)-1], madeAt); err != nil {
			t.Fatal(err)
		}
	}
	again := must(RestoreGuard(cfg, g.State()))(t)
	if diff := cmp.Diff(g.Gaps(), again.Gaps()); diff != "" {
		t.Error(diff)
	}
	smaller := must(RestoreGuard(GuardConfig{Window: 64}, g.State()))(t)
	for _, s := range all {
		for _, restored := range []*Guard{again, smaller} {
			_, err := restored.Check(s, madeAt)
			wantError(t, "shown again", err, ErrReplayed)
		}
	}
	if _, err := again.Check(security(telemetrySubject, 8, 1000), madeAt); !errors.Is(err, ErrReplayed) {
		t.Errorf("an epoch that was over: %v", err)
	}
	if _, err := again.Check(security(telemetrySubject, 9, 1000), madeAt); err != nil {
		t.Errorf("the next: %v", err)
	}
}

func TestABrokenStateIsRefused(t *testing.T) {
	lane := func(text string) string { return `{"nodes":{"n":[` + text + `,null]}}` }
	for _, text := range []string{``, `[]`, `{"nodes":{"a b":[null,null]}}`, lane(`{"epoch":0,"first":1,"highest":1,"seen":[[1,1]]}`),
		lane(`{"epoch":1,"first":2,"highest":1,"seen":[[1,1]]}`), lane(`{"epoch":1,"first":1,"highest":5,"seen":[[1,4]]}`),
		lane(`{"epoch":1,"first":1,"highest":5,"seen":[[3,5],[1,2]]}`), lane(`{"epoch":1,"first":1,"highest":5,"seen":[[1,9]]}`),
		lane(`{"epoch":1,"first":1,"highest":-5,"seen":[]}`)} {
		if _, err := RestoreGuard(GuardConfig{}, []byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if _, err := RestoreGuard(GuardConfig{}, NewGuard(GuardConfig{}).State()); err != nil {
		t.Error(err)
	}
}

func TestTheGuardRemembersABoundedNumberOfNodes(t *testing.T) {
	g := NewGuard(GuardConfig{Window: 64})
	for i := range nodesMax + 1 {
		s := security(statusSubject, 1, 1)
		s.Node = "n" + time.Duration(i).String()
		if _, err := g.Check(s, madeAt); i < nodesMax == (err != nil) {
			t.Fatalf("node %d: %v", i, err)
		}
	}
}

// FuzzGuard holds the guard against one that remembers everything.
func FuzzGuard(f *testing.F) {
	f.Add([]byte{0, 1, 0, 2, 0, 1, 1, 1})
	f.Add([]byte{0, 200, 0, 137, 0, 136, 4, 201, 2, 255, 3, 255})
	f.Add([]byte{0, 1, 8, 1, 0, 2, 9, 1})
	f.Fuzz(func(t *testing.T, script []byte) {
		const window = 64
		g := NewGuard(GuardConfig{Window: window, Complete: true})
		type message struct {
			telemetry       bool
			epoch, sequence uint64
		}
		seen, highest, epoch := map[message]bool{}, map[message]uint64{}, map[bool]uint64{}
		for ; len(script) > 1; script = script[2:] {
			op, arg := script[0], uint64(script[1])
			m := message{op&1 == 1, uint64(op>>3)%3 + 1, 1 + arg + uint64(op>>1&3)*60}
			subject := statusSubject
			if m.telemetry {
				subject = telemetrySubject
			}
			lane := message{m.telemetry, m.epoch, 0}
			good := m.epoch >= epoch[m.telemetry] && !seen[m] && m.sequence+window > highest[lane]
			if op&0x80 != 0 {
				g = must(RestoreGuard(GuardConfig{Window: window, Complete: true}, g.State()))(t)
			}
			_, err := g.Check(security(subject, m.epoch, m.sequence), madeAt)
			if (err == nil) != good || err != nil && !errors.Is(err, ErrReplayed) {
				t.Fatalf("%+v: %v, want good: %v", m, err, good)
			}
			if good {
				seen[m], epoch[m.telemetry] = true, m.epoch
				highest[lane] = max(highest[lane], m.sequence)
			}
			for _, gap := range g.Gaps() {
				for q := gap.From; q <= gap.To; q++ {
					if seen[message{true, gap.Epoch, q}] || seen[message{false, gap.Epoch, q}] {
						t.Fatalf("gap %+v: %d was seen", gap, q)
					}
				}
			}
		}
	})
}

func FuzzRestoreGuard(f *testing.F) {
	g := NewGuard(GuardConfig{Window: 64})
	_, _ = g.Check(security(statusSubject, 3, 70), madeAt)
	_, _ = g.Check(security(telemetrySubject, 3, 69), madeAt)
	f.Add(g.State())
	f.Add([]byte(`{"nodes":{"n":[{"epoch":1,"first":1,"highest":18446744073709551615,"seen":[[1,18446744073709551615]]},null]}}`))
	f.Fuzz(func(t *testing.T, state []byte) {
		g, err := RestoreGuard(GuardConfig{Window: 64}, state)
		if err != nil {
			return
		}
		again := must(RestoreGuard(GuardConfig{Window: 64}, g.State()))(t)
		if string(again.State()) != string(g.State()) {
			t.Errorf("%s\n%s", g.State(), again.State())
		}
	})
}
