package attach

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/wazuhsock"
	"golang.org/x/time/rate"
)

// ErrBusy is the error of a keep-alive that was not sent because too many wait.
var ErrBusy = errors.New("the manager does not take keep-alives as fast as they come")

// teller sends keep-alives that have no answer. remoted passes on what it finds
// in its queue for active responses, to the agent that the message names.
type teller struct {
	out    *wazuhsock.Queue // remoted's
	method detector.Method
	name   func(detector.AgentID) string
	said   *troubles
	rate   *rate.Limiter
	queue  chan detector.AgentID
	sent   atomic.Int64
	failed atomic.Int64
}

// tellerRoom is how many keep-alives may wait.
const tellerRoom = 1 << 14

// tell takes a keep-alive to be sent.
func (t *teller) tell(id detector.AgentID) error {
	select {
	case t.queue <- id:
		return nil
	default:
		t.failed.Add(1)
		return ErrBusy
	}
}

// run sends until ctx ends.
func (t *teller) run(ctx context.Context) {
	defer t.out.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-t.queue:
			if t.rate.Wait(ctx) != nil {
				return
			}
			err := t.out.Send(t.message(id, time.Now().Unix()))
			if err != nil {
				t.failed.Add(1)
				err = wazuhsock.Explain(err, "wazuh-remoted", t.out.Path())
			} else {
				t.sent.Add(1)
			}
			t.said.set("wazuh-remoted's queue", err)
		}
	}
}

// message is a keep-alive as the queue has it. N!S says: not for all agents, a
// control message as it is, for the agent that follows.
func (t *teller) message(id detector.AgentID, unix int64) string {
	to := "(pulse) [] N!S " + id.String() + " agent "
	if t.method == detector.Notify {
		return to + "keepalive " + t.name(id) + " " + strconv.FormatInt(unix, 10)
	}
	return to + "ack "
}
