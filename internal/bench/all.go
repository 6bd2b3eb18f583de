package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"
)

// AllConfig configures [MeasureAll].
type AllConfig struct {
	Agents   int           // of the large fleet over TCP
	Small    int           // of the small one
	UDP      int           // agents over UDP; 0 for none
	Messages int           // that are published
	For      time.Duration // how long to measure each usual load
	Progress io.Writer
}

// What stock Wazuh 4.14.7 takes, which has no part in a run: 2 000 agents over TCP, a
// keep-alive each 10 s, on two cores with other work.
const (
	recordedRemoted = 615.0 // µs of wazuh-remoted for each keep-alive (560 to 670)
	recordedMemory  = 74.0  // MiB of the manager's processes with 10 000 agents
)

// MeasureAll runs the other measurements one after the other, and puts each figure beside
// what it is compared with.
func MeasureAll(ctx context.Context, cfg AllConfig) (*AllReport, error) {
	r := new(AllReport)
	for i, step := range []struct {
		what    string
		measure func(context.Context, *AllReport) error
	}{
		{fmt.Sprintf("%d agents over TCP", cfg.Agents), cfg.measureLarge},
		{fmt.Sprintf("%d agents over TCP", cfg.Small), cfg.measureSmall},
		{"publishing, signed", cfg.measurePublishing},
		{fmt.Sprintf("attached to a manager with %d agents", cfg.Agents), cfg.measureAttached},
		{fmt.Sprintf("%d agents over UDP", cfg.UDP), cfg.measureDatagrams},
	} {
		fmt.Fprintf(cfg.Progress, "%d of 5: %s\n", i+1, step.what)
		if err := step.measure(ctx, r); err != nil {
			return nil, fmt.Errorf("%s: %w", step.what, err)
		}
	}
	return r, nil
}

func (c *AllConfig) measureFleet(ctx context.Context, agents int, network string, r *AllReport) (*ListenReport, error) {
	report, err := MeasureListen(ctx, ListenConfig{Agents: agents, For: c.For, Network: network, Progress: c.Progress})
	if err != nil {
		return nil, err
	}
	r.addProblem(report.Err())
	return report, nil
}

func (c *AllConfig) measureLarge(ctx context.Context, r *AllReport) error {
	m, err := c.measureFleet(ctx, c.Agents, "tcp", r)
	if err != nil {
		return err
	}
	agents := fmt.Sprintf("%d agents: ", m.Agents)
	r.addRow(agents+"processor time for each keep-alive of an agent", "µs", m.KeepAlive, "bare manager", m.KeepAliveBare)
	r.addRow(agents+"the same", "µs", m.KeepAlive, "simulated agent", m.AgentSide)
	r.addRow(agents+"acknowledgement, p99", "ms", m.AckP99, "bare manager", m.AckBareP99)
	r.addRow(agents+"memory, everyday", "MiB", toMiB(m.Resident), "bare manager", toMiB(m.ResidentBare))
	r.addRecorded(agents+"memory, everyday", "MiB", toMiB(m.Resident), "stock manager", recordedMemory)
	r.addRow(agents+"memory, at most, while all start at once", "MiB", toMiB(m.Peak), "bare manager, everyday", toMiB(m.ResidentBare))
	r.addRow(agents+"processor time for each start of an agent", "µs", m.Start, "bare manager, without a keep-alive", m.StartBare)
	return nil
}

func (c *AllConfig) measureSmall(ctx context.Context, r *AllReport) error {
	m, err := c.measureFleet(ctx, c.Small, "tcp", r)
	if err != nil {
		return err
	}
	agents := fmt.Sprintf("%d agents: ", m.Agents)
	r.addRow(agents+"processor time for each keep-alive of an agent", "µs", m.KeepAlive, "bare manager", m.KeepAliveBare)
	r.addRecorded(agents+"the same", "µs", m.KeepAlive, "wazuh-remoted", recordedRemoted)
	return nil
}

func (c *AllConfig) measurePublishing(ctx context.Context, r *AllReport) error {
	m, err := MeasurePublish(ctx, PublishConfig{Messages: c.Messages, Sign: true, Progress: c.Progress})
	if err != nil {
		return err
	}
	r.addProblem(m.Err())
	r.addRow("messages a second, signed, until the NATS server has confirmed them", "", m.Whole, "nats.go alone, unsigned", m.Bare)
	r.addRow(fmt.Sprintf("%d status changes at once, until confirmed, signed", m.Storm), "s", m.StormConfirmed, "nats.go alone, unsigned", float64(m.Storm)/m.Bare)
	return nil
}

func (c *AllConfig) measureAttached(ctx context.Context, r *AllReport) error {
	m, err := MeasureAttach(ctx, AttachConfig{Agents: c.Agents, For: c.For, Everyday: true, Progress: c.Progress})
	if err != nil {
		return err
	}
	r.addProblem(m.Err())
	r.addRow(fmt.Sprintf("attached, %d agents: processor time of Pulse", m.Agents), "% of a core", 100*m.Cores, "simulated manager", 100*m.ManagerCores)
	return nil
}

func (c *AllConfig) measureDatagrams(ctx context.Context, r *AllReport) error {
	if c.UDP == 0 {
		return nil
	}
	m, err := c.measureFleet(ctx, c.UDP, "udp", r)
	if err != nil {
		return err
	}
	agents := fmt.Sprintf("%d agents over UDP: ", m.Agents)
	r.addRow(agents+"processor time for each keep-alive of an agent", "µs", m.KeepAlive, "simulated agent", m.AgentSide)
	r.addRow(agents+"all connected and acknowledged, which start at once", "s", m.Settled, "", 0)
	r.addRow(agents+"acknowledgement, p99", "ms", m.AckP99, "", 0)
	r.addRow(agents+"memory, everyday", "MiB", toMiB(m.Resident), "", 0)
	return nil
}

func toMiB(bytes int64) float64 { return float64(bytes) / (1 << 20) }

// AllReport is the table of [MeasureAll].
type AllReport struct {
	Rows     []AllRow `json:"rows"`
	Problems []string `json:"problems,omitempty"` // that the measurements report
}

// AllRow is one figure and what it is compared with.
type AllRow struct {
	Work     string  `json:"work"`
	Unit     string  `json:"unit,omitempty"`
	Pulse    float64 `json:"pulse"`
	Beside   string  `json:"beside,omitempty"` // what the other figure is of
	Other    float64 `json:"other,omitempty"`
	Ratio    float64 `json:"ratio,omitempty"`    // of Pulse's figure to the other
	Recorded bool    `json:"recorded,omitempty"` // the other figure is not of this run, nor of this machine
}

func (r *AllReport) addRow(work, unit string, pulse float64, beside string, other float64) {
	row := AllRow{Work: work, Unit: unit, Pulse: pulse, Beside: beside, Other: other}
	if other > 0 {
		row.Ratio = pulse / other
	}
	roundFigures(&row)
	r.Rows = append(r.Rows, row)
}

// addRecorded is addRow for another figure that is recorded.
func (r *AllReport) addRecorded(work, unit string, pulse float64, beside string, other float64) {
	r.addRow(work, unit, pulse, beside, other)
	r.Rows[len(r.Rows)-1].Recorded = true
}

func (r *AllReport) addProblem(err error) {
	if err != nil {
		r.Problems = append(r.Problems, err.Error())
	}
}

// Err returns what the measurements have found wrong.
func (r *AllReport) Err() (err error) {
	for _, p := range r.Problems {
		err = errors.Join(err, errors.New(p))
	}
	return err
}

// WriteJSON writes the table as one JSON object.
func (r *AllReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteText writes the table as lines.
func (r *AllReport) WriteText(w io.Writer) {
	for _, row := range r.Rows {
		fmt.Fprintf(w, "%10.6g %-12s %s", row.Pulse, row.Unit, row.Work)
		if row.Beside != "" {
			fmt.Fprintf(w, "; %s: %.6g, ratio %.3g", row.Beside, row.Other, row.Ratio)
		}
		if row.Recorded {
			fmt.Fprint(w, " (recorded on another machine)")
		}
		fmt.Fprintln(w)
	}
}
