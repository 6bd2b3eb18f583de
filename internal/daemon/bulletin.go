package daemon

import (
	"context"

	"github.com/wazuh-pulse/pulse/internal/keys"
	"github.com/wazuh-pulse/pulse/seal"
)

// showKeys shows the node's public keys where its messages go, on each session
// there, until ctx ends.
func (n *Node) showKeys(ctx context.Context) {
	if n.out.sealer == nil || n.out.sealer.signer == nil || n.out.quiet {
		return
	}
	all, err := n.out.sealer.files.Public()
	var text []byte
	if err == nil {
		text, err = seal.MarshalKeys(all...)
	}
	if err != nil {
		n.log.Error("the public keys are not shown on NATS", "err", err)
		return
	}
	bulletin := &keys.Bulletin{Node: n.out.sealer.files.Node, JWKS: text, Log: n.log}
	if n.out.remote == nil {
		nc, err := n.out.outbox.Announcing()
		if err != nil {
			n.log.Error("the public keys are not shown on NATS", "err", err)
			return
		}
		defer nc.Close()
		bulletin.Run(ctx, nc, func(string) error { return nil })
		return
	}
	for {
		session, err := n.out.remote.Session(ctx)
		if err != nil {
			return
		}
		bulletin.Run(ctx, session.Conn, session.TakeRefusal)
		select {
		case <-session.Ended():
		case <-ctx.Done():
			return
		}
	}
}
