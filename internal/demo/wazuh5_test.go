package demo

import (
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

type simulatedManagerOf5 struct{ simulatedManager }

func (m simulatedManagerOf5) AgentAddr() netip.AddrPort { return m.ControlAddr() }

func (m simulatedManagerOf5) Load() ManagerLoad {
	load := m.simulatedManager.Load()
	load.Requests5 = m.Stats().Requests5
	return load
}

// A whole demo beside a manager of Wazuh 5: each loss is found in the database alone, and no
// agent is asked. It takes a minute, in which it mostly waits: DEMO_WAZUH5=1 plays it.
func TestADemoBesideWazuh5FindsEveryLossWithoutARequest(t *testing.T) {
	if os.Getenv("DEMO_WAZUH5") == "" {
		t.Skip("DEMO_WAZUH5=1 plays the demo beside Wazuh 5, for a minute")
	}
	t.Parallel()
	var story strings.Builder
	report, err := Run(t.Context(), Config{Agents: 5, For: pace5.slowest + pace5.first + 6*time.Second, Wazuh5: true, Version: "0.0.0", Out: &story,
		StartManager: func(home string, keys []clientkeys.Key) (Manager, error) {
			m, err := managersim.Start(managersim.Config{Home: home, Keys: keys, Version: "v5.0.0", Wazuh5: managersim.Wazuh5{Throttle: Throttle5, Age: time.Hour}})
			return simulatedManagerOf5{simulatedManager{m}}, err
		}})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(story.String())
	if err := report.Err(); err != nil {
		t.Error(err)
	}
	if len(report.Detections) == 0 || report.Sent > 0 || report.Manager == nil || !report.Manager.Wazuh5 || report.Manager.Requests > 0 {
		t.Errorf("%+v\n%+v", report, report.Manager)
	}
	for _, want := range []string{"agents of Wazuh 5", "here after 23s, beside a manager as\nshipped after 1m20s"} {
		if !strings.Contains(story.String(), want) {
			t.Errorf("it does not say %q", want)
		}
	}
}

func TestARequestToAnAgentOf5IsWrong(t *testing.T) {
	r := Report{Manager: &ManagerReport{Wazuh5: true, Requests5: 2}}
	if err := r.Err(); err == nil || !strings.Contains(err.Error(), "requests to agents of Wazuh 5, which cannot be asked: 2") {
		t.Error(err)
	}
}

func TestALossOfAnAgentOf5NeedsNoAlertOfTheManager(t *testing.T) {
	h := manage(t)
	h.of5 = true
	r := &ManagerReport{}
	h.checkLosses(r, map[string][]loss{"001": {{found: at(10), back: at(40)}}}, at(50))
	if len(r.Unknown) != 1 { // its database has to know it
		t.Errorf("%+v", r)
	}
	const write = `global update-connection-status {"id":1,"connection_status":"disconnected","sync_status":"synced","status_code":4}`
	sendText(t, h, "unix", "queue/db/wdb", string(rune(len(write)))+"\x00\x00\x00"+write)
	r = &ManagerReport{}
	h.checkLosses(r, map[string][]loss{"001": {{found: at(10), back: at(40)}}}, at(50))
	if len(r.Unknown)+len(r.Repeated) > 0 || r.Written != 1 {
		t.Errorf("%+v", r)
	}
}
