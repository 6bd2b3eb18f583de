package outbox

import (
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
)

// Answering makes a connection to the embedded server for the micro service that
// clients may ask (see [questions]). It is one of its own, so that a flood of
// questions holds up nothing that is published. The caller closes it.
func (o *Outbox) Answering() (*nats.Conn, error) {
	name, err := o.answers.PublicKey()
	if err != nil {
		return nil, fmt.Errorf("connect to answer questions: %w", err)
	}
	nc, err := nats.Connect("", nats.InProcessServer(o.srv), nats.Nkey(name, o.answers.Sign),
		nats.Name("pulse questions"), nats.ErrorHandler(ignore), nats.MaxReconnects(-1), nats.ReconnectWait(100*time.Millisecond))
	if err != nil {
		return nil, fmt.Errorf("connect to answer questions: %w", err)
	}
	return nc, nil
}

// ignore keeps the client library from writing errors to where nobody looks: who
// answers on the connection hears them too.
func ignore(*nats.Conn, *nats.Subscription, error) {}
