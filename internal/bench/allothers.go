package bench

import (
	"context"
	"fmt"
	"time"
)

func (c *AllConfig) publishStep() allStep {
	return allStep{what: fmt.Sprintf("%d messages published, signed", c.Messages), takes: time.Duration(c.Messages) * 300 * time.Microsecond,
		command: fmt.Sprintf("publish --sign --brief --messages %d", c.Messages),
		measure: func(ctx context.Context) ([]AllRow, error) {
			m, err := MeasurePublish(ctx, PublishConfig{Messages: c.Messages, Sign: true, Brief: true, Progress: c.Progress})
			if err != nil {
				return nil, err
			}
			return c.publishRows(m), m.Err()
		}}
}

func (c *AllConfig) publishRows(m *PublishReport) []AllRow {
	var bareStorm float64
	if m.Bare > 0 {
		bareStorm = float64(m.Storm) / m.Bare
	}
	return fitRows([]AllRow{
		{Work: "messages a second, signed, until the NATS server has confirmed them", Pulse: m.Whole, Beside: "nats.go alone, unsigned", Other: m.Bare, Goal: figureAtLeast(20_000)},
		{Work: "processor time for each of these messages", Unit: "µs", Pulse: m.WholeCPU, Beside: "nats.go alone, unsigned", Other: m.BareCPU},
		{Work: fmt.Sprintf("%d status changes at once, until confirmed, signed", c.Messages/20), Unit: "s", Pulse: m.StormConfirmed, Beside: "nats.go alone, unsigned", Other: bareStorm, Goal: figureBelow(2)},
	}, c.Messages == StandardAll.Messages)
}

func (c *AllConfig) attachStep() allStep {
	return allStep{what: fmt.Sprintf("attached to a manager with %d agents", c.Agents), takes: 40*time.Second + 3*c.For,
		command: fmt.Sprintf("attach --everyday --agents %d --for %v", c.Agents, c.For),
		measure: func(ctx context.Context) ([]AllRow, error) {
			m, err := MeasureAttach(ctx, AttachConfig{Agents: c.Agents, For: c.For, Everyday: true, Progress: c.Progress})
			if err != nil {
				return nil, err
			}
			return c.attachRows(m), m.Err()
		}}
}

func (c *AllConfig) attachRows(m *AttachReport) []AllRow {
	agents := fmt.Sprintf("attached, %d agents: ", c.Agents)
	const reader = "bare reader of the same table"
	return fitRows([]AllRow{
		{Work: agents + "processor time of Pulse", Unit: "% of a core", Pulse: 100 * m.Cores, Beside: reader, Other: 100 * m.BareCores, Goal: figureBelow(3)},
		{Work: agents + "processor time of wazuh-db for it", Unit: "ms/s", Pulse: m.Answering, Beside: reader, Other: m.BareAnswering},
		{Work: agents + "queries of wazuh-db", Unit: "/s", Pulse: m.Queries, Beside: reader, Other: m.BareQueries},
		{Work: agents + "bytes from and to wazuh-db", Unit: "B/s", Pulse: m.SQLBytes, Beside: reader, Other: m.BareSQLBytes},
		{Work: agents + "requests to agents, through remoted", Unit: "/s", Pulse: m.Requests, Beside: reader, Other: m.BareRequests},
		{Work: agents + "bytes from and to remoted", Unit: "B/s", Pulse: m.RequestBytes, Beside: reader, Other: m.BareRequestBytes},
		{Work: agents + "processor time of the simulated manager", Unit: "% of a core", Pulse: 100 * m.ManagerCores, Beside: "alone", Other: 100 * m.AloneManagerCores},
	}, c.Agents == StandardAll.Agents)
}
