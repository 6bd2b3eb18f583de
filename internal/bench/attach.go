package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/wazuh-pulse/pulse/event"
)

const (
	killedAgents    = 10              // agents, one after the other
	hungAgents      = 3               // the same
	failureTimeout  = 2 * time.Minute // for a failure to be reported
	otherClientTime = 30 * time.Second
)

// attachRun is one measurement of a node attached to a manager.
type attachRun struct {
	*attachBench
	otherClient *lineProcess
	report      AttachReport
}

// MeasureAttach measures a node beside a simulated manager.
func MeasureAttach(ctx context.Context, cfg AttachConfig) (r *AttachReport, err error) {
	cfg.printProgress("a simulated manager, and %d agents that connect to it", cfg.Agents)
	bench, err := openAttachBench(cfg)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, bench.close()) }()
	b := &attachRun{attachBench: bench, report: AttachReport{Agents: cfg.Agents}}
	if b.otherClient, err = startLineProcess(OtherClientArgs, b.home(), fmt.Sprintf("%03d", cfg.Agents)); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.otherClient.child.endAndWait()) }()
	if err := b.waitForAgents(ctx); err != nil {
		return nil, err
	}
	if err := b.measureOthers(ctx); err != nil {
		return nil, err
	}
	if !cfg.Everyday {
		b.printProgress("another client alone, for %v", otherClientTime)
		alone, err := b.measureOtherClient(ctx)
		if err != nil {
			return nil, err
		}
		b.report.AloneP50, b.report.AloneMax = alone.P50, alone.Max
	}
	err = b.runNode(ctx, b.measureAll)
	roundFigures(&b.report)
	return &b.report, err
}

// measureOthers measures the manager alone, and beside a bare reader.
func (b *attachRun) measureOthers(ctx context.Context) (err error) {
	b.printProgress("the manager and its agents alone, for %v", b.cfg.For)
	from, to, err := b.takeSnapshots(ctx, b.cfg.For, func() (time.Duration, error) { return 0, nil })
	if err != nil {
		return err
	}
	b.report.AloneManagerCores = loadBetween(from, to).managerCores
	b.printProgress("beside a bare reader, for %v", b.cfg.For)
	bare, err := startLineProcess(BareReaderArgs, b.home(), strconv.Itoa(b.cfg.Agents))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.child.endAndWait()) }()
	if !sleepContext(ctx, attachSettleTime) {
		return ctx.Err()
	}
	from, to, err = b.takeSnapshots(ctx, b.cfg.For, func() (time.Duration, error) {
		var state bareReaderState
		err := bare.readAnswer("look", &state)
		return state.Processor, err
	})
	if err != nil {
		return err
	}
	b.report.fillBare(loadBetween(from, to))
	return nil
}

func (b *attachRun) measureAll(ctx context.Context, known float64) error {
	b.report.Known = known
	from, to, err := b.takeEveryday(ctx)
	if err != nil {
		return err
	}
	b.report.fillPulse(loadBetween(from, to))
	b.report.Inventory = b.node.Status().Link.Attach.Inventory
	if b.report.Resident, err = residentBytes(); err != nil {
		return err
	}
	if b.cfg.Everyday {
		return nil
	}
	b.printProgress("%d agents are killed, and %d hang", killedAgents, hungAgents)
	if b.report.Killed, b.report.Closed, err = b.failAgents(ctx, "kill", 1, killedAgents); err != nil {
		return err
	}
	if b.report.Hung, _, err = b.failAgents(ctx, "hang", 1+killedAgents, hungAgents); err != nil {
		return err
	}
	return b.measureCrowd(ctx)
}

// failAgents makes agents fail one after the other. It returns the longest
// time until a NATS subscriber received the status change, and the longest
// time until the manager answered that it has no connection to the agent, when
// reconnect_grace begins.
func (b *attachRun) failAgents(ctx context.Context, how string, first, n int) (told, closed float64, err error) {
	for id := first; id < first+n; id++ {
		before := b.countNotConnected()
		began := time.Now()
		if _, err := b.agents.sendLine(fmt.Sprintf("%s %03d", how, id)); err != nil {
			return 0, 0, err
		}
		for how == "kill" && b.countNotConnected() == before && time.Since(began) < failureTimeout && sleepContext(ctx, time.Millisecond) {
		}
		closed = max(closed, time.Since(began).Seconds())
		if err := b.waitForLoss(ctx, fmt.Sprintf("%03d", id)); err != nil {
			return 0, 0, fmt.Errorf("%s agent %03d: %w", how, id, err)
		}
		told = max(told, time.Since(began).Seconds())
	}
	return told, closed, nil
}

// countNotConnected returns how often the manager has answered that it has no
// connection to an agent.
func (b *attachRun) countNotConnected() int64 {
	return b.node.Status().Link.Attach.Outcomes["not_connected"]
}

func (b *attachRun) waitForLoss(ctx context.Context, id string) error {
	deadline := time.After(failureTimeout)
	for {
		select {
		case m := <-b.losses:
			parsed, err := event.Parse(m.Data)
			if err != nil {
				return err
			}
			if c, ok := parsed.(*event.StatusChangeMessage); ok && c.StatusChange.AgentID == id && c.StatusChange.CurrentStatus == event.Disconnected {
				return nil
			}
		case <-deadline:
			return fmt.Errorf("not known after %v", failureTimeout)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// measureCrowd makes a twentieth of the agents hang and measures requests to
// one that answers, as the Wazuh API makes them.
func (b *attachRun) measureCrowd(ctx context.Context) error {
	first, n := 1+killedAgents+hungAgents, b.cfg.Agents/20
	b.printProgress("%d agents hang, and another client asks for one that lives", n)
	for id := first; id < first+n; id++ {
		if _, err := b.agents.sendLine(fmt.Sprintf("hang %03d", id)); err != nil {
			return err
		}
	}
	with, err := b.measureOtherClient(ctx)
	if err != nil {
		return err
	}
	b.report.GuestP50, b.report.GuestP90, b.report.GuestMax = with.P50, with.P90, with.Max
	stats, err := b.manager.readState()
	b.report.MostInFlight = int(stats.MostInFlight) - 1 // the other client's
	return err
}

// measureOtherClient lets the other client send requests for otherClientTime.
func (b *attachRun) measureOtherClient(ctx context.Context) (v latencies, err error) {
	if _, err := b.otherClient.sendLine("begin"); err != nil {
		return v, err
	}
	if !sleepContext(ctx, otherClientTime) {
		return v, ctx.Err()
	}
	return v, b.otherClient.readAnswer("end", &v)
}
