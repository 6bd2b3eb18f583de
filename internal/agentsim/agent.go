package agentsim

import (
	"net"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// stage is how far an agent's process has come. Only the agent's goroutine
// sets it.
type stage uint32

const (
	noProcess stage = iota // no process
	dialling               // no connection
	starting               // connected, its startup not acknowledged yet
	connected              // acknowledged
)

// expiredDeadline is a deadline that interrupts reads and writes in progress.
var expiredDeadline = time.Unix(1, 0)

// agent is one simulated agent. Its goroutine runs runAgent; the fields of the
// last group are used by that goroutine only.
type agent struct {
	fleet  *Fleet
	id     string
	name   string
	ip     string   // as registered: an address, a network or any
	wireID string   // the ID in front of its messages; empty when the manager identifies it by its address
	from   net.Addr // the source address; nil for any
	cipher *secmsg.Cipher

	stage atomic.Uint32
	wake  chan struct{} // holds one token when the lifecycle may have changed

	mu          sync.Mutex
	lifecycle   lifecycle
	liveConn    net.Conn                       // the connection to interrupt; nil without one
	abandoned   []net.Conn                     // closed by the agent while its network was cut, still open for the manager
	nextCounter atomic.Pointer[secmsg.Counter] // replaces counter before the next message; nil: it stays

	counter secmsg.Counter
	process process
}

// process is the state that an agent loses when its process ends. A new
// connection does not reset it.
type process struct {
	acknowledged  bool                  // once; it has reported its start then
	sent          uint32                // messages so far
	lastReceived  time.Duration         // time of the last message from the manager, or of the last try to connect
	lastKeepAlive time.Duration         // time of the last keep-alive, or of the first acknowledgement
	keepAlives    uint32                // keep-alives so far
	merged        unique.Handle[string] // the shared configuration's checksum; noFile before there is one
}

func newAgent(f *Fleet, k *clientkeys.Key) *agent {
	a := &agent{
		fleet: f, id: k.ID, name: k.Name, ip: k.IP.String(), wireID: k.ID,
		cipher: secmsg.NewKey(k.ID, k.Name, k.Secret).Cipher(f.cfg.Method),
		wake:   make(chan struct{}, 1),
		// Unix seconds let the counter grow over the runs of this program too,
		// as it does in an agent, which keeps it in a file.
		counter: secmsg.Counter{Global: uint64(f.start.Unix())},
	}
	if k.IP.SingleHost() {
		a.wireID = ""
	}
	return a
}

// changeLifecycle changes the agent's lifecycle and interrupts what it waits
// for.
func (a *agent) changeLifecycle(change func(lifecycle) lifecycle) {
	a.mu.Lock()
	a.lifecycle = change(a.lifecycle)
	if a.liveConn != nil {
		a.liveConn.SetDeadline(expiredDeadline)
	}
	if !a.lifecycle.cut || a.lifecycle.over {
		for _, c := range a.abandoned {
			c.Close()
		}
		a.abandoned = nil
	}
	a.mu.Unlock()
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// currentLifecycle returns the present lifecycle.
func (a *agent) currentLifecycle() lifecycle {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.lifecycle
}
