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

// notifier sends keep-alives that have no answer. remoted passes on what it finds
// in its queue for active responses, to the agent that the message names.
type notifier struct {
	out        *wazuhsock.Queue // remoted's
	method     detector.Method
	index      *agentIndex
	conditions *conditions
	rate       *rate.Limiter
	queue      chan detector.AgentID
	sent       atomic.Int64
	failed     atomic.Int64
}

// notifierQueueSize is how many keep-alives may wait.
const notifierQueueSize = 1 << 14

func newNotifier(home wazuhsock.Home, index *agentIndex, cfg *Config, conditions *conditions) *notifier {
	return &notifier{out: wazuhsock.NewQueue(home.Path(wazuhsock.ARQueue)), method: cfg.Method, index: index, conditions: conditions,
		rate: rate.NewLimiter(requestRate, requestBurst), queue: make(chan detector.AgentID, notifierQueueSize)}
}

// queueKeepAlive takes a keep-alive to be sent.
func (t *notifier) queueKeepAlive(id detector.AgentID) error {
	select {
	case t.queue <- id:
		return nil
	default:
		t.failed.Add(1)
		return ErrBusy
	}
}

// runNotifier sends until ctx ends.
func (t *notifier) runNotifier(ctx context.Context) {
	defer t.out.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-t.queue:
			if t.rate.Wait(ctx) != nil {
				return
			}
			err := t.out.Send(t.formatKeepAlive(id, time.Now().Unix()))
			if err != nil {
				t.failed.Add(1)
				err = wazuhsock.Explain(err, "wazuh-remoted", t.out.Path())
			} else {
				t.sent.Add(1)
			}
			t.conditions.setCondition("wazuh-remoted's queue", err)
		}
	}
}

// formatKeepAlive is a keep-alive as the queue has it. N!S says: not for all agents, a
// control message as it is, for the agent that follows.
func (t *notifier) formatKeepAlive(id detector.AgentID, unix int64) string {
	to := "(pulse) [] N!S " + id.String() + " agent "
	if t.method == detector.Notify {
		return to + "keepalive " + t.index.nameOf(id) + " " + strconv.FormatInt(unix, 10)
	}
	return to + "ack "
}
