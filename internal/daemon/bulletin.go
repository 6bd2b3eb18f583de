package daemon

import (
	"context"

	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
)

// showKeys shows the node's public keys where its messages go, on each session
// there, until ctx ends.
func (n *Node) showKeys(ctx context.Context) {
	if n.out.sealer == nil || !n.out.sealer.Signs() || n.out.quiet {
		return
	}
	bulletin := &keys.KVPublisher{Files: &n.out.sealer.Files, Log: n.log}
	if n.out.remote == nil {
		nc, err := n.out.outbox.Connect(natsserver.Keys)
		if err != nil {
			n.log.Error("the public keys are not shown on NATS", "err", err)
			return
		}
		defer nc.Close()
		bulletin.Run(ctx, nc, nil, func(string) error { return nil })
		return
	}
	for ctx.Err() == nil {
		session, err := n.out.remote.Session(ctx)
		if err != nil {
			return
		}
		bulletin.Run(ctx, session.Conn, session.Ended(), session.TakeRefusal)
	}
}
