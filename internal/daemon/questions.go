package daemon

import (
	"context"

	"github.com/wazuh-pulse/pulse/internal/natsserver"
	"github.com/wazuh-pulse/pulse/internal/query"
)

// answerQuestions answers XDR clients until ctx ends: where there is an XDR's
// NATS server on each session with it, else on the embedded one.
func (n *Node) answerQuestions(ctx context.Context) {
	if n.out.outbox == nil {
		return
	}
	source := n.out.recorder.writer.Source
	service := query.New(query.Config{Node: source.Node, Version: source.Version, Fleet: n.detector, Clock: n.clock,
		Status: func() any { return n.Status() }, Seal: n.out.sealer.AnswerSeal(), Log: n.log})
	if n.out.remote == nil {
		n.answerEmbedded(ctx, service)
		return
	}
	for {
		session, err := n.out.remote.Session(ctx)
		if err != nil {
			return
		}
		if err := service.Serve(ctx, session.Conn); err != nil {
			n.log.Warn("questions are not answered on this connection", "err", err)
		}
		select {
		case <-session.Ended():
		case <-ctx.Done():
			return
		}
	}
}

func (n *Node) answerEmbedded(ctx context.Context, service *query.Service) {
	nc, err := n.out.outbox.Connect(natsserver.Service)
	if err == nil {
		defer nc.Close()
		err = service.Serve(ctx, nc)
	}
	if err != nil {
		n.log.Error("questions are not answered", "err", err)
	}
}
