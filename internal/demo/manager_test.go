package demo

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

// A whole demo beside a manager: each loss reaches its database and its rule once.
func TestADemoBesideAManagerTellsItOfEveryLoss(t *testing.T) {
	t.Parallel()
	var story strings.Builder
	report, err := Run(t.Context(), Config{Agents: 5, For: slowest + 12*time.Second, StartManager: startSimulatedManager, Version: "0.0.0", Out: &story})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(story.String())
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	m := report.Manager
	if m == nil || m.Losses == 0 || m.Written == 0 || m.Written > m.Losses || m.Alerts != m.Written-m.Silenced || m.Events != m.Alerts {
		t.Fatalf("%+v", m)
	}
	if m.Requests == 0 || m.Queries == 0 || m.Bytes == 0 || m.OtherAsked == 0 || m.MostAtOnce > 128 {
		t.Errorf("%+v", m)
	}
	if !strings.Contains(story.String(), "a stock Wazuh manager's") {
		t.Error("it does not say what it shows")
	}
}

func TestTheManagerIsJudgedToBeToldOfEachLossOnce(t *testing.T) {
	const write = `global update-connection-status {"id":1,"connection_status":"disconnected","sync_status":"synced","status_code":4}`
	const event = "1:[001] (web-001) any->wazuh-monitord:ossec: Agent disconnected: 'web-001-any'."
	const own = `1:[001] (web-001) any-pulse->pulse:{"pulse":{"event":"agent_lost","manager_node":"demo","agent_id":"001"}}`
	const other = `1:[001] (web-001) any-pulse->pulse:{"pulse":{"event":"agent_back","manager_node":"demo","agent_id":"001"}}`
	gone := func(seconds float64) []loss { return []loss{{found: at(10), back: at(10 + seconds)}} }
	silenced := []loss{{found: at(10), back: at(15), silenced: true}}
	for _, tt := range []struct {
		name           string
		losses         []loss
		writes, events int
		own            int // events of Pulse's
		unknown, twice []string
	}{
		{"told", gone(5), 1, 1, 1, nil, nil},
		{"not told", gone(5), 0, 0, 0, []string{"001"}, nil},
		{"no alert", gone(5), 1, 0, 1, []string{"001"}, nil},
		{"no event of Pulse's", gone(5), 1, 1, 0, []string{"001"}, nil},
		{"told twice", gone(5), 2, 2, 1, nil, []string{"001"}},
		{"two alerts for one write", gone(5), 1, 2, 1, nil, []string{"001"}},
		{"two events of Pulse's", gone(5), 1, 1, 2, nil, []string{"001"}},
		{"silenced", silenced, 1, 0, 0, nil, nil},
		{"an alert in spite of a silence", silenced, 1, 1, 0, nil, []string{"001"}},
		{"an event of Pulse's in spite of a silence", silenced, 1, 0, 1, nil, []string{"001"}},
		{"back before there was time", gone(1), 0, 0, 0, nil, nil},
		{"found in the last moment", []loss{{found: at(19.5)}}, 0, 0, 0, nil, nil},
		{"found, and still away", []loss{{found: at(15)}}, 0, 0, 0, []string{"001"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := manage(t)
			for range tt.writes {
				sendText(t, h, "unix", "queue/db/wdb", fmt.Sprintf("%c\x00\x00\x00%s", len(write), write))
			}
			for range tt.events {
				sendText(t, h, "unixgram", "queue/sockets/queue", event)
			}
			for range tt.own {
				sendText(t, h, "unixgram", "queue/sockets/queue", own)
			}
			sendText(t, h, "unixgram", "queue/sockets/queue", other)
			m := h.Manager.(simulatedManager)
			for changed := m.Changed(); m.Stats().Events < uint64(tt.events+tt.own+1); changed = m.Changed() {
				<-changed
			}
			r := &ManagerReport{}
			h.checkLosses(r, map[string][]loss{"001": tt.losses}, at(20))
			want := &ManagerReport{Losses: 1, Silenced: countSilenced(tt.losses), Written: tt.writes, Alerts: tt.events, Events: tt.own, Unknown: tt.unknown, Repeated: tt.twice}
			if diff := cmp.Diff(want, r); diff != "" {
				t.Errorf("(- want, + got):\n%s", diff)
			}
			if err := (&Report{Manager: r}).Err(); (err != nil) != (tt.unknown != nil || tt.twice != nil) {
				t.Errorf("the report says %v", err)
			}
		})
	}
}

func manage(t *testing.T) *managerHost {
	t.Helper()
	set, _, err := clientkeys.Parse(strings.NewReader("001 web-001 any 11"))
	if err != nil {
		t.Fatal(err)
	}
	key, _ := set.ByID([]byte("001"))
	dir, err := os.MkdirTemp("", "wz") // short enough for a socket's path
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	m, err := managersim.Start(managersim.Config{Home: dir, Keys: []clientkeys.Key{*key}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.Close() })
	return &managerHost{Manager: simulatedManager{m}}
}

func startSimulatedManager(home string, keys []clientkeys.Key) (Manager, error) {
	m, err := managersim.Start(managersim.Config{Home: home, Keys: keys})
	return simulatedManager{m}, err
}

type simulatedManager struct{ *managersim.Manager }

func (m simulatedManager) Load() ManagerLoad {
	s := m.Stats()
	return ManagerLoad{Requests: s.Requests, MostAtOnce: s.MostInFlight, Commands: s.Commands, Queries: s.Queries,
		Bytes: s.RequestsIn + s.RequestsOut + s.DBIn + s.DBOut}
}

// sendText writes to one of the manager's sockets, and reads an answer from a stream.
func sendText(t *testing.T, h *managerHost, network, socket, text string) {
	t.Helper()
	conn, err := net.Dial(network, filepath.Join(h.Home(), socket))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if network == "unix" {
		if _, err := conn.Read(make([]byte, 64)); err != nil {
			t.Fatal(err)
		}
	}
}

func countSilenced(losses []loss) (n int) {
	for _, l := range losses {
		if l.silenced {
			n++
		}
	}
	return n
}
