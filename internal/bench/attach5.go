package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/managersim"
)

const (
	killed5     = 100         // agents of Wazuh 5, or a hundredth of all if that is less
	killing5    = time.Minute // over which they are killed
	aloneTime5  = 30 * time.Second
	slowestLoss = 3 * time.Minute
)

// attach5Run is one measurement of a node attached to a manager of Wazuh 5.
type attach5Run struct {
	*attachBench
	report Attach5Report
}

// MeasureAttach5 measures a node beside a simulated manager of Wazuh 5 with its settings as
// shipped, whose agents are of Wazuh 5.
func MeasureAttach5(ctx context.Context, cfg AttachConfig) (r *Attach5Report, err error) {
	cfg.printProgress("a simulated manager of Wazuh 5, and %d agents that start over %v", cfg.Agents, ramp5)
	bench, err := openAttachBench(cfg, "5")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bench.close()) }()
	b := &attach5Run{attachBench: bench, report: Attach5Report{Agents: cfg.Agents}}
	if err := b.waitForAgents(ctx); err != nil {
		return nil, err
	}
	b.printProgress("the manager and its agents alone, for %v", aloneTime5)
	from, to, err := b.takeSnapshots(ctx, aloneTime5, processorTime)
	if err != nil {
		return nil, err
	}
	b.report.AloneCores = (to.theirs - from.theirs).Seconds() / to.at.Sub(from.at).Seconds()
	err = b.runNode(ctx, b.measureAll)
	roundFigures(&b.report)
	return &b.report, err
}

func (b *attach5Run) measureAll(ctx context.Context, known float64) error {
	b.report.Known = known
	from, to, err := b.takeEveryday(ctx)
	if err != nil {
		return err
	}
	b.report.fillBetween(from, to)
	if b.report.Resident, err = residentBytes(); err != nil {
		return err
	}
	if err := b.killAgents(ctx); err != nil {
		return err
	}
	state, err := b.manager.readState()
	b.report.Requests5, b.report.Syncs = state.Requests5, state.HTTPSyncs
	return err
}

// killAgents kills agents that are spread over all and over time, and measures how long each loss
// takes to be known.
func (b *attach5Run) killAgents(ctx context.Context) error {
	n := min(killed5, b.cfg.Agents/100)
	b.printProgress("%d agents are killed over %v; until all are known, or %v later", n, killing5, slowestLoss)
	order := newTurnOrder(n) // not the order in which they started, which is that of their keep-alives
	killed, found := make(map[string]time.Time, n), make(map[string]time.Duration, n)
	next := time.NewTicker(killing5 / time.Duration(n))
	defer next.Stop()
	var end <-chan time.Time
	for len(found) < n {
		select {
		case <-next.C:
			if len(killed) == n {
				continue
			}
			id := managersim.IDOf5(1 + int(order.agentAt(int64(len(killed)))-1)*b.cfg.Agents/n)
			if _, err := b.agents.sendLine("kill " + id); err != nil {
				return err
			}
			if killed[id] = time.Now(); len(killed) == n {
				end = time.After(slowestLoss)
			}
		case m := <-b.losses:
			if err := b.countLoss(m, killed, found); err != nil {
				return err
			}
		case <-end:
			b.report.Missed = n - len(found)
			b.report.fillDelays(found)
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b.report.fillDelays(found)
	return nil
}

// countLoss counts a message about a loss: of an agent that was killed, or a false one.
func (b *attach5Run) countLoss(m *nats.Msg, killed map[string]time.Time, found map[string]time.Duration) error {
	parsed, err := event.Parse(m.Data)
	if err != nil {
		return err
	}
	c, is := parsed.(*event.StatusChangeMessage)
	if !is || c.StatusChange.CurrentStatus != event.Disconnected {
		return nil
	}
	id := c.StatusChange.AgentID
	at, was := killed[id]
	if _, again := found[id]; !was || again {
		b.report.False++
		return nil
	}
	found[id] = time.Since(at)
	return nil
}

// Attach5Report holds the figures of [MeasureAttach5].
type Attach5Report struct {
	Agents       int     `json:"agents" unit:"of Wazuh 5"`
	Known        float64 `json:"known_s" unit:"s from the start until all are known to be active"`
	Cores        float64 `json:"cpu_cores" unit:"of Pulse: processor seconds a second, everyday"`
	Resident     int64   `json:"rss_bytes" unit:"of Pulse"`
	AloneCores   float64 `json:"manager_alone_cpu_cores" unit:"of the simulated manager, before Pulse is there"`
	ManagerCores float64 `json:"manager_cpu_cores" unit:"the same with Pulse, everyday"`
	Answering    float64 `json:"wazuh_db_busy" unit:"processor seconds a second in which its wazuh-db makes answers to Pulse"`
	Queries      float64 `json:"queries_per_s" unit:"of wazuh-db"`
	Rows         float64 `json:"rows_per_s" unit:"of its answers to Pulse, which reads all agents once a minute"`
	Bytes        float64 `json:"db_bytes_per_s" unit:"both ways"`
	Notifies     float64 `json:"notifies_per_s" unit:"of agents to the manager"`
	Written      float64 `json:"rows_written_per_s" unit:"of these, by the manager into its database"`
	LostP50      float64 `json:"lost_p50_s" unit:"s from an agent's death to the message"`
	LostP90      float64 `json:"lost_p90_s" unit:"s"`
	LostP99      float64 `json:"lost_p99_s" unit:"s"`
	LostMax      float64 `json:"lost_max_s" unit:"s, the longest"`
	LostMin      float64 `json:"lost_min_s" unit:"s, the shortest"`
	Missed       int     `json:"missed" unit:"deaths that were not known in three minutes"`
	False        int     `json:"false" unit:"losses of agents that lived"`
	Requests5    uint64  `json:"requests_to_agents" unit:"of Wazuh 5, which cannot be asked"`
	Syncs        uint64  `json:"syncs_taken" unit:"from clusterd"`
}

func (r *Attach5Report) fillBetween(from, to attachSnapshot) {
	seconds := to.at.Sub(from.at).Seconds()
	rate := func(from, to uint64) float64 { return float64(to-from) / seconds }
	r.Cores = (to.ours - from.ours).Seconds() / seconds
	r.ManagerCores = (to.theirs - from.theirs).Seconds() / seconds
	a, z := &from.stats, &to.stats
	r.Queries, r.Rows = rate(a.Queries+a.HTTPQueries, z.Queries+z.HTTPQueries), rate(a.Rows, z.Rows)
	r.Bytes = rate(a.DBIn+a.DBOut+a.HTTPBytes, z.DBIn+z.DBOut+z.HTTPBytes)
	r.Answering = (z.Answering - a.Answering).Seconds() / seconds
	r.Notifies, r.Written = rate(a.Notifies, z.Notifies), rate(a.NotifyRows, z.NotifyRows)
}

func (r *Attach5Report) fillDelays(found map[string]time.Duration) {
	all := make([]time.Duration, 0, len(found))
	for _, d := range found {
		all = append(all, d)
	}
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	at := func(percent int) float64 { return all[(len(all)-1)*percent/100].Seconds() }
	r.LostMin, r.LostP50, r.LostP90, r.LostP99, r.LostMax = at(0), at(50), at(90), at(99), at(100)
}

// Err returns an error if an agent that lived was given up, one that died was not, or Pulse
// did what it must not do.
func (r *Attach5Report) Err() error {
	if r.Missed > 0 || r.False > 0 || r.Requests5 > 0 || r.Syncs > 0 {
		return fmt.Errorf("%d deaths were not known, %d agents that live were given up, %d requests to agents, %d syncs: want none",
			r.Missed, r.False, r.Requests5, r.Syncs)
	}
	return nil
}

// WriteJSON writes the report as one JSON object.
func (r *Attach5Report) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteText writes the figures with their explanations.
func (r *Attach5Report) WriteText(w io.Writer) { writeText(w, r) }
