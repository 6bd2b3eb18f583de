package outbox

import (
	"context"

	"github.com/nats-io/nats.go"
	"github.com/wazuh-pulse/pulse/internal/jsdomain"
	"github.com/wazuh-pulse/pulse/internal/natsserver"
)

// Connect makes a connection to the embedded server with the rights of a role. It is one
// of its own, so that a flood of requests delays nothing that is published. The caller
// closes it.
func (o *Outbox) Connect(role natsserver.Role) (*nats.Conn, error) { return o.server.Connect(role) }

// Connection is one with the server to which the messages go.
type Connection struct {
	*nats.Conn
	Domain  jsdomain.Domain            // whose JetStream is used
	Ended   <-chan struct{}            // closed when the session has ended; nil for the embedded server
	Refusal func(subject string) error // returns why the server did not accept a message, if it did not
}

// ServeConnections calls serve on each connection with the server to which the messages go, one after the
// other, until ctx ends: on each session with the remote, or else on one with the embedded server, in a role.
func (o *Outbox) ServeConnections(ctx context.Context, role natsserver.Role, serve func(Connection)) error {
	if o.cfg.Remote == nil {
		nc, err := o.Connect(role)
		if err == nil {
			defer nc.Close()
			serve(Connection{nc, "", nil, func(string) error { return nil }})
		}
		return err
	}
	for {
		session, err := o.cfg.Remote.Session(ctx)
		if err != nil {
			return nil // ctx has ended
		}
		serve(Connection{session.Conn, session.JetStreamDomain(), session.Ended(), session.TakeRefusal})
		select {
		case <-session.Ended():
		case <-ctx.Done():
			return nil
		}
	}
}
