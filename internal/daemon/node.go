// Package daemon wires one node together: the link to the agents, the detector,
// the recorder that makes messages of its decisions, and the outbox. It is the
// only package that imports all others, and starts and stops them in order.
//
// A [Node] is made by [Open], which opens everything that can fail, and runs
// in [Node.Run]. Data flows one way: link → detector → recorder → outbox. Each
// has a goroutine of its own; between detector and recorder stands the backlog,
// so that a slow disk does not make the detector late.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/audittrail"
	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/console"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/history"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
	"github.com/wazuh-pulse/pulse/internal/metrics"
	"github.com/wazuh-pulse/pulse/internal/roster"
	"github.com/wazuh-pulse/pulse/internal/silencer"
)

// Node is one running Pulse.
type Node struct {
	log        *slog.Logger
	clock      *detector.Clock
	out        *Publisher
	audit      *audittrail.Trail // the publisher's
	link       link
	detector   *detector.Detector
	hosts      *hostprobe.Prober
	roster     *roster.Roster // nil for none
	leftWait   time.Duration  // until restoreLeft, if nothing else is left of an earlier run; else 0
	history    *history.History
	silences   *silencer.Silencer
	duplicates duplicates
	clustered  *clusterPart // nil outside a cluster: see cluster
	fleet      shownFleet
	metrics    *metrics.Metrics
	web        net.Listener // nil without a console
	console    *console.Server

	settings settings
}

// Open opens everything a node needs: its state directory, its NATS server and
// its sockets. What it opened it closes again if something fails. The version
// is that of the software, for the messages.
func Open(ctx context.Context, cfg *config.Config, version string, log *slog.Logger) (*Node, error) {
	return OpenWithHosts(ctx, cfg, version, nil, log)
}

// OpenWithHosts is Open, with a probe of hosts that are not real; nil for real ones.
func OpenWithHosts(ctx context.Context, cfg *config.Config, version string, probe hostprobe.Func, log *slog.Logger) (*Node, error) {
	return open(ctx, cfg, version, world{probe: probe, clock: detector.NewClock(), pace: realPace}, log)
}

// world is what is not as in reality in a demo, or in a test.
type world struct {
	probe hostprobe.Func // of hosts; nil for real ones
	clock *detector.Clock
	pace  clusterPace

	heartbeat time.Duration // between two; 0 for event.HeartbeatInterval
	willDelay time.Duration // see lastwill.Config; 0 for its own
}

func open(ctx context.Context, cfg *config.Config, version string, w world, log *slog.Logger) (_ *Node, err error) {
	n := &Node{log: log, clock: w.clock, history: history.New(), hosts: hostprobe.New(cfg.KeepAlive.HostProbePorts, w.probe, log)}
	n.settings.cfg = *cfg
	n.metrics = metrics.New(cfg.Pulse.NodeName, version, n.readMetrics)
	defer func() {
		if err != nil {
			if n.out != nil {
				n.audit.SetFailure(err)
			}
			n.close()
		}
	}()
	if n.out, err = OpenPublisher(ctx, cfg, version, log); err != nil {
		return nil, err
	}
	n.audit = n.out.audit
	if n.clustered, err = n.joinCluster(cfg, w.pace); err != nil {
		return nil, err
	}
	set, err := n.detection(cfg)
	if err != nil {
		return nil, err
	}
	n.detector = detector.New(set, n.clock, n.handleDecisions)
	if err := n.openSilences(cfg); err != nil {
		return nil, err
	}
	if err := n.out.restoreAgents(ctx, n.clock, &set, n.detector); err != nil {
		return nil, err
	}
	if n.detector.Counts() == (detector.Counts{}) {
		n.leftWait = longestTimeout(cfg)
	}
	if err := n.restoreDuplicates(ctx); err != nil {
		return nil, err
	}
	if n.link, err = openLink(cfg, &set, n.clock, n.detector, n.clustered, n.reportDuplicate, n.audit, log); err != nil {
		return nil, err
	}
	if err := n.clustered.openView(cfg, n.out, n.link); err != nil {
		return nil, err
	}
	n.openFleet(&set)
	n.out.recorder.status, n.out.recorder.onCondition, n.out.recorder.heartbeat = n.Status, n.link.OnCondition, w.heartbeat
	if err := n.openLastWill(cfg, w.willDelay); err != nil {
		return nil, err
	}
	if err := n.openConsole(ctx, cfg, version); err != nil {
		return nil, err
	}
	if n.roster, err = n.out.openRoster(ctx, cfg, n.clustered.latestOrder()); err != nil {
		return nil, err
	}
	return n, nil
}

// AgentAddr is where agents connect; not valid when they connect to a manager.
func (n *Node) AgentAddr() netip.AddrPort { return n.link.Addr() }

// NATSURL is where NATS clients connect; empty when there is a server elsewhere.
func (n *Node) NATSURL() string {
	if !n.out.natsEnabled() {
		return ""
	}
	return n.out.outbox.URL()
}

// ConsoleAddr is where the console listens; nil without one.
func (n *Node) ConsoleAddr() net.Addr {
	if n.web == nil {
		return nil
	}
	return n.web.Addr()
}

// handleDecisions handles the detector's decisions: keep-alives are sent at once, the rest
// waits for the recorder.
func (n *Node) handleDecisions(decisions []detector.Decision) {
	n.recordDecisions(decisions)
	for i := range decisions {
		d := &decisions[i]
		switch d.Verdict {
		case detector.ProbeHost:
			n.probeHost(d)
			continue
		case detector.MovedAway:
			n.handleMovedAway(d)
			continue
		case detector.Resumed:
			n.duplicates.pause(time.Now())
		}
		r := n.out.newRecord(d)
		switch {
		case d.Verdict == detector.Send:
			if r.SendErr = n.link.KeepAlive(d.ID, d.Token); r.SendErr != nil {
				n.metrics.CountUnsent()
			}
		case !d.Verdict.IsRoutine():
			r.Stored, r.Cluster = n.clustered.recordDecision(d), n.clustered.describeMove(d)
			if n.clustered.holdAlert(&r) {
				continue
			}
			n.link.OnDecision(&r)
			n.markRemoved(d)
		}
		n.out.backlog.put(r)
	}
}

// Run runs the node until ctx ends or something that it cannot do without fails.
// It ends in order: the detector stops, then the agents' connections
// close, what was decided is published and forwarded, and the outbox closes. What
// could not be published in time, see stopTime, is an error; what could not be forwarded
// waits on disk for the next start.
func (n *Node) Run(parent context.Context) error {
	ctx, fail := context.WithCancelCause(parent)
	defer fail(nil)
	serve, stopServing := context.WithCancel(context.Background())
	defer stopServing()
	publish, stopPublishing := context.WithCancel(context.Background())
	defer stopPublishing()
	var detecting, serving, recording sync.WaitGroup

	var unpublished error
	recording.Go(func() {
		if unpublished = n.out.Run(publish); unpublished != nil {
			n.out.Finish()
			fail(unpublished)
		}
	})
	detecting.Go(func() { n.detector.Run(ctx) })
	serving.Go(func() { n.silences.Run(ctx) })
	serving.Go(func() { n.link.Run(serve) })
	serving.Go(func() { n.hosts.Run(ctx) })
	serving.Go(func() { n.clustered.run(ctx) })
	serving.Go(func() { n.clustered.runFleet(ctx) })
	serving.Go(func() { n.clustered.watchNodes(ctx) })
	serving.Go(func() { n.restoreLeft(ctx) })
	serving.Go(func() { n.answerQueries(ctx) })
	serving.Go(func() { n.out.publishKeys(ctx) })
	serving.Go(func() { n.keepLastWill(ctx, func() bool { return parent.Err() != nil }) })
	if n.web != nil {
		serving.Go(func() {
			if err := n.console.Serve(n.web); err != nil {
				fail(fmt.Errorf("serve the console: %w", err))
			}
		})
	}

	<-ctx.Done()
	n.out.limitPublishing(stopPublishing)
	detecting.Wait()
	n.out.Finish()
	stopServing()
	if n.web != nil {
		n.console.Close()
	}
	serving.Wait()
	recording.Wait()
	n.out.waitForForwarding(forwardTimeout)
	err := unpublished
	if cause := context.Cause(ctx); cause != context.Cause(parent) && cause != unpublished {
		err = errors.Join(cause, unpublished)
	}
	n.audit.SetFailure(err)
	return errors.Join(err, n.close())
}

func (n *Node) close() error {
	if n.link != nil {
		n.link.Close()
	}
	if n.web != nil {
		_ = n.web.Close()
	}
	n.clustered.close()
	var err error
	if n.roster != nil {
		err = n.roster.Close()
	}
	if n.out != nil {
		err = errors.Join(err, n.out.Close())
	}
	return err
}
