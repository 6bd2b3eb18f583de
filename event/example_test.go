package event_test

import (
	"fmt"

	"github.com/wazuh-pulse/pulse/event"
)

func ExampleParse() {
	data := []byte(`{"status_change":{"agent_id":"001","agent_name":"web-server-01","previous_status":0,"current_status":1,
		"reason":"keepalive_timeout","timestamp":1716897360},"security":{"node":"wazuh-manager-01","epoch":3,"sequence":2}}`)
	m, err := event.Parse(data)
	if err != nil {
		fmt.Println(err)
		return
	}
	switch m := m.(type) {
	case *event.StatusChangeMessage:
		c := &m.StatusChange
		fmt.Println(c.AgentName, c.CurrentStatus, c.Reason, c.Time().UTC())
	case *event.FleetOutageMessage, *event.AgentFlappingMessage, *event.NodeConditionMessage, *event.NodeLostMessage, *event.AgentDuplicatedMessage:
		fmt.Println("an alert")
	case *event.UnknownMessage:
		// a later version sent it: nothing to do
	}
	// Output: web-server-01 disconnected keepalive_timeout 2024-05-28 11:56:00 +0000 UTC
}
