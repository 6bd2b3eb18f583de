package bench

import (
	"context"
	"fmt"
	"time"
)

func (c *AllConfig) publishStep() allStep {
	return allStep{what: fmt.Sprintf("%d messages published, signed", c.Messages), takes: time.Duration(c.Messages) * 1200 * time.Microsecond,
		command: fmt.Sprintf("publish --sign --messages %d", c.Messages),
		measure: func(ctx context.Context) ([]AllRow, error) {
			m, err := MeasurePublish(ctx, PublishConfig{Messages: c.Messages, Sign: true, Progress: c.Progress})
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
		{Work: fmt.Sprintf("%d status changes at once, until confirmed, signed", c.Messages/20), Unit: "s", Pulse: m.StormConfirmed, Beside: "nats.go alone, unsigned", Other: bareStorm, Goal: figureBelow(2)},
	}, c.Messages == StandardAll.Messages)
}

func (c *AllConfig) attachStep() allStep {
	return allStep{what: fmt.Sprintf("attached to a manager with %d agents", c.Agents), takes: 30*time.Second + c.For,
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
	return fitRows([]AllRow{
		{Work: fmt.Sprintf("attached, %d agents: processor time of Pulse", c.Agents), Unit: "% of a core", Pulse: 100 * m.Cores, Beside: "simulated manager", Other: 100 * m.ManagerCores, Goal: figureBelow(3)},
	}, c.Agents == StandardAll.Agents)
}
