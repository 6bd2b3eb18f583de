package daemon

import (
	"context"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/internal/query"
)

// answerQueries answers XDR clients until ctx ends: on each session with the XDR's
// NATS server if there is one, otherwise on the embedded server.
func (n *Node) answerQueries(ctx context.Context) {
	if !n.out.natsEnabled() {
		return
	}
	service := query.New(query.Config{Node: n.out.source().Node, Version: n.out.source().Version, Fleet: n.detector, Clock: n.clock,
		Status: func() any { return n.Status() }, Silences: n.silences.List, Seal: n.out.sealer.AnswerSeal(), Log: n.log})
	n.out.serveQueries(ctx, service)
}

func (p *Publisher) serveQueries(ctx context.Context, service *query.Service) {
	if p.remote == nil {
		nc, err := p.outbox.Connect(natsserver.Service)
		if err == nil {
			defer nc.Close()
			err = service.Serve(ctx, nc)
		}
		if err != nil {
			p.log.Error("questions are not answered", "err", err)
		}
		return
	}
	for {
		session, err := p.remote.Session(ctx)
		if err != nil {
			return
		}
		if err := service.Serve(ctx, session.Conn); err != nil {
			p.log.Warn("questions are not answered on this connection", "err", err)
		}
		select {
		case <-session.Ended():
		case <-ctx.Done():
			return
		}
	}
}

// publishKeys writes the node's public keys to the bucket of keys, on each session with
// the server that its messages go to, until ctx ends.
func (p *Publisher) publishKeys(ctx context.Context) {
	if p.sealer == nil || !p.sealer.Signs() || p.noBuckets {
		return
	}
	publisher := &keys.KVPublisher{Files: &p.sealer.Files, Log: p.log}
	if p.remote == nil {
		nc, err := p.outbox.Connect(natsserver.Keys)
		if err != nil {
			p.log.Error("the public keys are not shown on NATS", "err", err)
			return
		}
		defer nc.Close()
		publisher.Run(ctx, nc, nil, func(string) error { return nil })
		return
	}
	for ctx.Err() == nil {
		session, err := p.remote.Session(ctx)
		if err != nil {
			return
		}
		publisher.Run(ctx, session.Conn, session.Ended(), session.TakeRefusal)
	}
}

// hostStates are the detector's names for what a probe finds.
var hostStates = [...]detector.Host{
	hostprobe.Unknown: detector.HostUnknown, hostprobe.Answers: detector.HostAnswers, hostprobe.Silent: detector.HostSilent,
}

// probeHost has a lost agent's host probed, and the result reported to the detector. It does not wait.
func (n *Node) probeHost(d *detector.Decision) {
	id, token := d.ID, d.Token
	n.hosts.Request(d.Addr, func(r hostprobe.Result) {
		n.detector.ReportHost(detector.HostReport{ID: id, Token: token, At: n.clock.Now(), Host: hostStates[r.Host], Probe: r.How})
	})
}

// countHostProbes returns how many results there were, by name.
func (n *Node) countHostProbes() map[string]int64 {
	named := make(map[string]int64)
	for host, count := range n.hosts.Counts() {
		named[hostStates[host].String()] = int64(count)
	}
	return named
}
