package outbox

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Answering makes a connection to the embedded server for the micro service that
// clients may ask (see [questions]). It is one of its own, so that a flood of
// questions holds up nothing that is published. The caller closes it.
func (o *Outbox) Answering() (*nats.Conn, error) { return o.connect("pulse questions", o.answers) }

// Rostering makes a connection to the embedded server for who keeps the bucket
// there (see [RosterStream]). The caller closes it.
func (o *Outbox) Rostering() (*nats.Conn, error) { return o.connect("pulse roster", o.rosters) }

// Announcing makes a connection to the embedded server for who shows the node's
// public keys there. The caller closes it.
func (o *Outbox) Announcing() (*nats.Conn, error) { return o.connect("pulse keys", o.tellers) }

func (o *Outbox) connect(name string, as *user) (*nats.Conn, error) {
	nc, err := nats.Connect("", nats.InProcessServer(inProcess{o}), nats.Nkey(as.name, as.key.Sign),
		nats.Name(name), nats.ErrorHandler(ignore), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("connect %s to the embedded server: %w", name, err)
	}
	return nc, nil
}

// ignore keeps the client library from writing errors to where nobody looks: who
// works on the connection hears them too.
func ignore(*nats.Conn, *nats.Subscription, error) {}
