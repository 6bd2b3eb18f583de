package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
)

// LastID returns the ID of the last message of a class that is stored; "" for none.
func (o *Outbox) LastID(ctx context.Context, c Class) (string, error) {
	info, err := o.streams[c].Info(ctx)
	if err != nil {
		return "", fmt.Errorf("find the last message of %s: %w", c, err)
	}
	if info.State.LastSeq == 0 {
		return "", nil // nothing was ever stored
	}
	m, err := o.streams[c].GetMsg(ctx, info.State.LastSeq)
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the last message of %s: %w", c, err)
	}
	return m.Header.Get(jetstream.MsgIDHeader), nil
}
