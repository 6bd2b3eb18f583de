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

// notifier sends keep-alives that have no answer, through remoted's queue for active
// responses: remoted forwards each message to the agent that it names.
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

func (n *notifier) queueKeepAlive(id detector.AgentID) error {
	select {
	case n.queue <- id:
		return nil
	default:
		n.failed.Add(1)
		return ErrBusy
	}
}

// runNotifier sends until ctx ends.
func (n *notifier) runNotifier(ctx context.Context) {
	defer n.out.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-n.queue:
			if n.rate.Wait(ctx) != nil {
				return
			}
			err := n.out.Send(n.formatKeepAlive(id, time.Now().Unix()))
			if err != nil {
				n.failed.Add(1)
				err = wazuhsock.ExplainError(err, "wazuh-remoted", n.out.SocketPath())
			} else {
				n.sent.Add(1)
			}
			n.conditions.setDaemonCondition("wazuh-remoted's queue", err)
		}
	}
}

// formatKeepAlive returns a keep-alive as the queue has it. N!S means: not for all
// agents, a control message as it is, for the agent that follows.
func (n *notifier) formatKeepAlive(id detector.AgentID, unix int64) string {
	to := "(pulse) [] N!S " + id.String() + " agent "
	if n.method == detector.Notify {
		return to + "keepalive " + n.index.nameOfAgent(id) + " " + strconv.FormatInt(unix, 10)
	}
	return to + "ack "
}
