package attach

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/managersim"
	"github.com/wazuh-pulse/pulse/internal/wazuhdb"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
)

// listAgentChanges returns what changes have of each agent, in the order of ids.
func listAgentChanges(changes []wazuhdb.Change) (all []string) {
	for _, c := range changes {
		for _, id := range c.Agents {
			all = append(all, fmt.Sprintf("%v %s %d %d %v", id, c.Status, c.Code, c.KeepAlive, c.Passive))
		}
	}
	slices.Sort(all)
	return all
}

func TestOneStatementReadsWhatTwoDo(t *testing.T) {
	for _, version := range []string{"v4.14.7", "v4.3.11", "v5.0.0"} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			s := startManager(t, 300, func(c *managersim.Config) { c.Version = version })
			random := rand.New(rand.NewPCG(3, 4))
			second := time.Now().Unix()
			agents := []string{"Wazuh v4.14.7", "Wazuh v5.0.0", ""}
			for id := 1; id <= 300; id++ {
				code := ""
				if version != "v4.3.11" {
					code = fmt.Sprintf("status_code = %d, ", random.IntN(6))
				}
				s.updateRows(code+"connection_status = ?, last_keepalive = ?, disconnection_time = ?, date_add = ?, version = ? WHERE id = ?",
					[]string{"active", "pending", "disconnected", "never_connected"}[random.IntN(4)], []any{second - random.Int64N(9), nil, second - 1<<20}[random.IntN(3)],
					[]any{second - random.Int64N(9), 0}[random.IntN(2)], second-random.Int64N(100), agents[random.IntN(3)], id)
			}
			db := wazuhdb.NewClient(wazuhsock.Home(s.manager.Home()), wazuhdb.ClusterRole{}, patience)
			defer db.Close()
			news, err := db.ReadNews(t.Context(), second-50, second-4)
			if err != nil {
				t.Fatal(err)
			}
			changes, err := db.ReadChanges(t.Context(), second-4, wazuhdb.Scope{})
			if err != nil {
				t.Fatal(err)
			}
			if got, want := listAgentChanges(news.Changes), listAgentChanges(changes); !slices.Equal(got, want) || len(want) < 100 {
				t.Errorf("%q\nwant %q", got, want)
			}
			if want, err := db.ReadFingerprint(t.Context(), second-50); news.Fingerprint != want || err != nil {
				t.Errorf("%+v, want %+v (%v)", news.Fingerprint, want, err)
			}
		})
	}
}

// What one statement cannot have is read with two.
func TestAStatusThatIsUnknownHidesNoOtherAgent(t *testing.T) {
	t.Parallel()
	s := startManager(t, 3)
	now := time.Now().Unix()
	s.updateRows("connection_status = 'active', node_name = 'node01', last_keepalive = ? WHERE id > 0", now)
	s.startLink(stillSettings)
	s.waitForCount(detector.Active, 3)
	if err := s.manager.Exec("PRAGMA ignore_check_constraints = 1"); err != nil {
		t.Fatal(err)
	}
	s.updateRows("connection_status = 'odd', last_keepalive = ? WHERE id = 2", now)
	s.updateRows("connection_status = 'disconnected', status_code = 3, disconnection_time = ? WHERE id = 3", now)
	if got := s.waitForChange(3, detector.Disconnected); got.Reason != detector.AgentShutdown {
		t.Errorf("%+v", got)
	}
}
