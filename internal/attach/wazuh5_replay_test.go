package attach

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/remoted"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

func newTestLog(l *logRecorder) *slog.Logger { return slog.New(l) }

// rowMove is a change of a row of a real Wazuh 5.0, or a failed reading of it: wazuh-db was down.
type rowMove struct {
	At      float64 `json:"at"` // Unix seconds, as are Gone and Seen
	Down    bool    `json:"down"`
	ID      int     `json:"id"`
	Name    *string `json:"name"`
	Version *string `json:"version"`
	IP      *string `json:"ip"`
	Status  *string `json:"status"`
	Code    *int    `json:"code"`
	Gone    *int64  `json:"gone"`
	Seen    *int64  `json:"seen"`
}

// death is a time for which an agent of a recording was not there.
type death struct {
	id          detector.AgentID
	from, until float64 // Unix seconds less recordingEpoch
	by          string  // kill, stop (frozen) or shutdown
}

// recordingEpoch is what the times in this file are counted from.
const recordingEpoch = 1795888000

const forever = 1e6

// recording is a history of the rows of one manager, and what was done to it.
type recording struct {
	name          string
	from, until   float64
	deaths        []death
	remotedDown   [][2]float64 // also when it was frozen
	legacyOff     [2]float64
	throttle10    float64 // from when on the options have it; remoted follows when it is started
	watchedAgents []detector.AgentID
}

var recordings5 = []recording{
	{name: "default", from: -141, until: 1735, throttle10: forever, watchedAgents: []detector.AgentID{7, 1024, 1025, 1026, 1027, 1031, 1032, 1033, 1034},
		deaths: []death{{1025, 33.7, forever, "kill"}, {1032, 33.8, forever, "kill"}, {1026, 33.9, forever, "stop"}, {1033, 33.9, forever, "stop"},
			{1034, 35.9, forever, "shutdown"}, {1027, 36, forever, "shutdown"}, {1024, 1232.7, 1240.8, "kill"}, {1024, 1405.7, 1431.5, "shutdown"}}},
	{name: "short", from: 23.8, until: 1745, throttle10: 918.5, legacyOff: [2]float64{1139.7, 1158.4}, watchedAgents: []detector.AgentID{1024, 1025, 1026, 1027, 1031, 1032, 1033, 1034},
		remotedDown: [][2]float64{{439.1, 442.6}, {518.7, 548.7}, {610.1, 653.2}, {918.5, 1020.26}, {1137.3, 1139.7}, {1158.4, 1167.6}},
		deaths: []death{{1025, 122.8, 260.7, "kill"}, {1032, 122.8, 260.7, "kill"}, {1026, 122.8, 260.8, "stop"}, {1033, 122.8, 260.8, "stop"}, {1034, 122.9, 260.8, "shutdown"},
			{1027, 122.9, 260.8, "shutdown"}, {1025, 326, 329, "kill"}, {1027, 326, 329, "shutdown"}, {1025, 969.7, 972.7, "kill"}, {1025, 1090.8, 1093.8, "kill"},
			{1027, 1208.4, forever, "shutdown"}, {1034, 1209.4, forever, "shutdown"}, {1031, 1443.4, forever, "kill"}, {1032, 1451.4, 1485, "stop"}}},
}

func isOf5(id detector.AgentID) bool { return id >= 1024 && id <= 1029 }

// Each history of the rows of a real Wazuh 5.0 is played back: what was killed or frozen is
// lost in time, what was shut down at once, and nothing else, while daemons are restarted,
// wazuh-db loses what it had written, and others write false losses. A manager of Wazuh 5 is
// the master of its cluster; a worker's rows are like a manager's alone.
func TestRecordedRowsOfWazuh5AreReadRight(t *testing.T) {
	for i := range recordings5 {
		r := &recordings5[i]
		for name, role := range map[string]wazuhdb.ClusterRole{"": {}, " master": master5} {
			t.Run(r.name+name, func(t *testing.T) {
				t.Parallel()
				m := startManager5(t)
				m.role = role
				synctest.Test(t, func(t *testing.T) { r.play(t, m) })
			})
		}
	}
}

// play plays the recording, whose times are moved to the bubble's, and checks what was decided.
func (r *recording) play(t *testing.T, m *manager5) {
	base := time.Now().Truncate(time.Second).Add(time.Minute) // of the recording's from
	at := func(sec float64) time.Time {
		return base.Add(time.Duration((sec - r.from) * float64(time.Second)))
	}
	moves := readLines[rowMove](t, "testdata/wazuh5/"+r.name+"-rows.jsonl")
	m.touch(wazuhsock.DatabaseSocket, at(r.from-600))
	m.touch(wazuhsock.RequestSocket, at(r.from-600))
	var b *beside5
	seen := make(map[int]float64) // when agents were last seen by the recorded database
	next := 0
	step := 100 * time.Millisecond
	for now := r.from - 300; now < r.until; now += step.Seconds() {
		if now < r.from { // what was before is there when Pulse starts
			now = r.from
			for ; next < len(moves) && moves[next].At-recordingEpoch < r.from; next++ {
				r.applyMove(m, &moves[next], at, seen)
			}
			time.Sleep(time.Until(at(r.from)))
			b = attachTo5(t, m)
			defer b.stop()
		}
		r.applyActions(b, now, step.Seconds(), at)
		down := false
		for ; next < len(moves) && moves[next].At-recordingEpoch < now+step.Seconds(); next++ {
			if moves[next].Down {
				down = true
			} else {
				r.applyMove(m, &moves[next], at, seen)
			}
		}
		if down {
			b.setDown(true, b.remotedIsDown())
			b.closeConns()
			m.touch(wazuhsock.DatabaseSocket, at(now+1)) // made anew until it is up again
			time.AfterFunc(1100*time.Millisecond, func() { b.endDatabaseOutage(at, moves) })
		}
		r.updateAgents4(b, now, seen)
		time.Sleep(time.Until(at(now + step.Seconds())))
	}
	r.checkDecisions(t, b, at)
	r.checkWrites(t, b)
}

// checkWrites checks that no false loss was written.
func (r *recording) checkWrites(t *testing.T, b *beside5) {
	want := make(map[string]bool)
	for _, d := range r.deaths {
		if d.by != "shutdown" && d.until-d.from > 80 {
			want[fmt.Sprintf(`{"id":%d,"connection_status":"disconnected","sync_status":"synced","status_code":4}`, d.id)] = true
		}
	}
	got, written := make(map[string]bool), b.listWrites()
	for _, text := range written {
		got[text] = true
		known := slices.ContainsFunc(r.watchedAgents, func(id detector.AgentID) bool { return strings.Contains(text, fmt.Sprintf(`{"id":%d,`, id)) })
		if known && !want[text] && !strings.Contains(text, "1032") { // which was frozen for long enough
			t.Errorf("written: %s", text)
		}
	}
	for text := range want {
		if !got[text] {
			t.Errorf("not written: %s; %q", text, written)
		}
	}
}

// endDatabaseOutage ends an outage of wazuh-db, unless another failed reading follows.
func (b *beside5) endDatabaseOutage(at func(float64) time.Time, moves []rowMove) {
	for i := range moves {
		if d := time.Until(at(moves[i].At - recordingEpoch)); moves[i].Down && d > -time.Second && d < 1200*time.Millisecond {
			return
		}
	}
	b.setDown(false, b.remotedIsDown())
}

func (b *beside5) remotedIsDown() bool {
	b.manager5.mu.Lock()
	defer b.manager5.mu.Unlock()
	return b.remotedDown
}

func (b *beside5) databaseIsDown() bool {
	b.manager5.mu.Lock()
	defer b.manager5.mu.Unlock()
	return b.dbDown
}

func (r *recording) applyMove(m *manager5, mv *rowMove, at func(float64) time.Time, seen map[int]float64) {
	if mv.Seen != nil {
		seen[mv.ID] = float64(*mv.Seen - recordingEpoch)
	}
	m.setRow(mv.ID, mv.columns(at))
}

// columns returns the columns that have changed, with times of the test.
func (mv *rowMove) columns(at func(float64) time.Time) map[string]any {
	columns := make(map[string]any)
	for name, text := range map[string]*string{"name": mv.Name, "version": mv.Version, "ip": mv.IP, "connection_status": mv.Status} {
		if text != nil {
			columns[name] = *text
		}
	}
	if mv.Code != nil {
		columns["status_code"] = *mv.Code
	}
	for name, second := range map[string]*int64{"disconnection_time": mv.Gone, "last_keepalive": mv.Seen} {
		if second != nil && *second > 0 {
			columns[name] = at(float64(*second - recordingEpoch)).Unix()
		} else if second != nil {
			columns[name] = 0
		}
	}
	return columns
}

// applyActions does to the daemons what was done within a step.
func (r *recording) applyActions(b *beside5, now, step float64, at func(float64) time.Time) {
	is := func(sec float64) bool { return sec >= now && sec < now+step }
	for _, w := range r.remotedDown {
		if is(w[0]) {
			b.setDown(b.databaseIsDown(), true)
		}
		if is(w[1]) {
			b.touch(wazuhsock.RequestSocket, at(now))
			b.setDown(b.databaseIsDown(), false)
		}
	}
	if is(r.throttle10) {
		b.writeFile(wazuhsock.Options5, "# mine\nremoted.debug=0\nremoted.control_keepalive_throttle=10\n")
		b.touch(wazuhsock.Options5, at(now))
	}
	if int(now*10)%50 == 0 && now > r.from+60 { // each request of an agent of Wazuh 5 is a connection of its own
		b.reportClosedConn(1024, 1025, 1026, 1027)
	}
	for _, d := range r.deaths {
		if is(d.from) && !isOf5(d.id) && d.by != "stop" {
			b.agents.setState(d.id, remoted.NotConnected)
			b.reportClosedConn(d.id)
		}
	}
}

// updateAgents4 sets how agents of Wazuh 4 answer now.
func (r *recording) updateAgents4(b *beside5, now float64, seen map[int]float64) {
	down, started := false, -forever
	for _, w := range r.remotedDown {
		down = down || now >= w[0] && now < w[1]
		if now >= w[1] {
			started = w[1]
		}
	}
	b.agents.mu.Lock()
	defer b.agents.mu.Unlock()
	b.agents.absent = down
	for _, id := range r.watchedAgents {
		state := remoted.Answered
		if now >= r.legacyOff[0] && now < r.legacyOff[1] || seen[int(id)] < started-1 {
			state = remoted.NotConnected
		}
		for _, d := range r.deaths {
			if d.id == id && now+0.1 > d.from && (now < d.until || seen[int(id)] < d.until-1) {
				state = map[string]remoted.Outcome{"stop": remoted.Silent}[d.by]
				if d.by != "stop" {
					state = remoted.NotConnected
				}
			}
		}
		b.agents.state[id] = state
	}
}

// checkDecisions checks what was decided about each agent that was there when Pulse started.
func (r *recording) checkDecisions(t *testing.T, b *beside5, at func(float64) time.Time) {
	told := make([]bool, len(r.deaths))
	for _, id := range r.watchedAgents {
		var lines []string
		for _, d := range b.changesOf(id, time.Time{}) {
			sec := d.Time.Sub(at(0)).Seconds()
			lines = append(lines, fmt.Sprintf("%.1f %v→%v (%v)", sec, d.From, d.To, d.Reason))
			if d.To != detector.Disconnected {
				continue
			}
			is := false
			for i, dead := range r.deaths {
				if dead.id == id && sec >= dead.from-1 && sec < dead.until+2 {
					is, told[i] = true, true
					r.checkDelay(t, &dead, &d, sec-dead.from)
				}
			}
			if !is {
				t.Errorf("agent %v was not away, and is lost at %.1f: %v", id, sec, d.Reason)
			}
		}
		t.Logf("agent %v: %s", id, strings.Join(lines, ", "))
		if n := b.agents.countRequests(id); isOf5(id) && n > 0 {
			t.Errorf("agent %v is of Wazuh 5, and was sent %d requests", id, n)
		} else if !isOf5(id) && n == 0 {
			t.Errorf("agent %v is of Wazuh 4, and was sent no request", id)
		}
		r.checkLastStatus(t, b, id)
	}
	for i, d := range r.deaths {
		if !told[i] && d.until-d.from > 80 {
			t.Errorf("that agent %v went at %.1f was not found out", d.id, d.from)
		}
	}
}

func (r *recording) checkDelay(t *testing.T, dead *death, d *detector.Decision, delay float64) {
	bound := map[string]float64{"kill": 4, "stop": 60, "shutdown": 3}[dead.by]
	if isOf5(dead.id) && dead.by != "shutdown" {
		bound = passiveTimeout(defaultThrottle).Seconds()
	}
	wants := d.Reason.IsLoss()
	if dead.by == "shutdown" {
		wants = d.Reason == detector.AgentShutdown
	}
	if delay > bound || !wants {
		t.Errorf("agent %v: %s at %.1f is known after %.1f s, as %v; want %.0f s at most", dead.id, dead.by, dead.from, delay, d.Reason, bound)
	}
	t.Logf("agent %v: %s known after %.1f s", dead.id, dead.by, delay)
}

// checkLastStatus checks that an agent is active at the end unless it is dead.
func (r *recording) checkLastStatus(t *testing.T, b *beside5, id detector.AgentID) {
	want := detector.Active
	for _, d := range r.deaths {
		if d.id == id && d.until == forever {
			want = detector.Disconnected
		}
	}
	if got, _ := b.link.cfg.Fleet.Agent(id); got.Status != want {
		t.Errorf("agent %v is %v at the end, want %v", id, got.Status, want)
	}
}
