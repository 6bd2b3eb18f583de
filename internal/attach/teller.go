package attach

import (
	"context"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"golang.org/x/time/rate"
)

// ErrBusy is the error of a keep-alive that was not sent because too many wait.
var ErrBusy = errors.New("the manager does not take keep-alives as fast as they come")

// teller sends keep-alives that have no answer. remoted passes on what it finds
// in its queue for active responses, to the agent that the message names.
type teller struct {
	path   string
	method detector.Method
	name   func(detector.AgentID) string
	said   *troubles
	rate   *rate.Limiter
	queue  chan detector.AgentID
	sent   atomic.Int64
	failed atomic.Int64
}

const (
	// tellerRoom is how many keep-alives may wait.
	tellerRoom = 1 << 14
	// datagramTime is how long a full queue of the manager's is waited for.
	datagramTime = time.Second
)

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
	var conn *net.UnixConn
	defer func() { hangUp(conn) }()
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-t.queue:
			if t.rate.Wait(ctx) != nil {
				return
			}
			var err error
			if conn, err = sendDatagram(conn, t.path, t.message(id, time.Now().Unix())); err != nil {
				t.failed.Add(1)
				err = explain(err, "wazuh-remoted", t.path)
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

// sendDatagram sends a datagram on conn, or on a new connection to path if that
// is nil or whoever served it has gone.
func sendDatagram(conn *net.UnixConn, path, text string) (*net.UnixConn, error) {
	for fresh := conn == nil; ; fresh = true {
		if conn == nil {
			c, err := dialQueue(path)
			if err != nil {
				return nil, err
			}
			conn = c
		}
		_ = conn.SetWriteDeadline(time.Now().Add(datagramTime))
		_, err := conn.Write([]byte(text))
		if err == nil {
			return conn, nil
		}
		hangUp(conn)
		if conn = nil; fresh {
			return nil, err
		}
	}
}

func dialQueue(path string) (*net.UnixConn, error) {
	return net.DialUnix("unixgram", nil, &net.UnixAddr{Name: path, Net: "unixgram"})
}

func hangUp(conn *net.UnixConn) {
	if conn != nil {
		_ = conn.Close()
	}
}
