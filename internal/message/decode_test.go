package message

import (
	"testing"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
)

func TestMessagesOfTheStreamAreReadBack(t *testing.T) {
	const of = `,"security":{"issued_at":1716897361000}}`
	for name, c := range map[string]struct {
		text string
		good bool
		kind history.Kind
	}{
		"a change":                    {`{"status_change":{"agent_id":"001","previous_status":0,"current_status":1,"reason":"connection_lost","timestamp":1716897360}` + of, true, history.Change},
		"a flapping agent":            {`{"agent_flapping":{"agent_id":"001","status_changes":7}` + of, true, history.Flapping},
		"an outage":                   {`{"fleet_outage":{"agents_lost":7,"networks":[{"network":"10.0.0.0/24","agents":7},{"network":"x","agents":1}]}` + of, true, history.Outage},
		"its end":                     {`{"fleet_recovered":{"agents_lost":7}` + of, true, history.Recovered},
		"something else":              {`{"event":{}` + of, false, 0},
		"no JSON":                     {`eyJhbGciOi`, false, 0},
		"an ID that is none":          {`{"status_change":{"agent_id":"x","reason":"startup"}` + of, false, 0},
		"a status that is none":       {`{"status_change":{"agent_id":"001","current_status":4,"reason":"startup"}` + of, false, 0},
		"a status before it":          {`{"status_change":{"agent_id":"001","previous_status":-1,"reason":"startup"}` + of, false, 0},
		"a reason that is none":       {`{"status_change":{"agent_id":"001","reason":"whim"}` + of, false, 0},
		"a flapping agent without ID": {`{"agent_flapping":{}` + of, false, 0},
	} {
		e, ok := decodeEvent([]byte(c.text))
		if ok != c.good || ok && (e.Kind != c.kind || e.Known.UnixMilli() != 1716897361000) {
			t.Errorf("%s: %+v, %v", name, e, ok)
		}
		if c.kind == history.Outage && (len(e.Fleet.Networks) != 1 || e.Fleet.Networks[0].Lost != 7) {
			t.Errorf("%s: %+v", name, e.Fleet)
		}
		if c.kind == history.Change && ok && (e.To != detector.Disconnected || e.ID != 1) {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func TestARestoredAgentHasTheInfoOfItsLastChange(t *testing.T) {
	c := event.StatusChange{AgentID: "001", Reason: event.Connected, AgentInfo: event.AgentInfo{
		WazuhGroups: []string{"default", "web"}, OSName: "Ubuntu", OSVersion: "22.04", AgentVersion: "v4.9.2"}}
	wall := newWallSeconds(detector.NewClock())
	got, err := decodeAgent(&c, wall)
	if want := (detector.Info{Groups: "default,web", OSName: "Ubuntu", OSVersion: "22.04", Version: "v4.9.2"}); err != nil || got.Info != want {
		t.Errorf("%+v, %v", got.Info, err)
	}
	c.AgentInfo = event.AgentInfo{WazuhGroups: []string{"", "web\x1b"}, OSName: "a\nb"} // no node has written that
	if got, err = decodeAgent(&c, wall); err != nil || got.Info != (detector.Info{OSName: "a?b"}) {
		t.Errorf("%+v, %v", got.Info, err)
	}
	c.AgentInfo = event.AgentInfo{}
	if got, err = decodeAgent(&c, wall); err != nil || got.Info != (detector.Info{}) {
		t.Errorf("%+v, %v", got.Info, err)
	}
}
