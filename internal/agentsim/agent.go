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

// stage is how far an agent's process has come. Only its own goroutine sets it.
type stage uint32

const (
	resting   stage = iota // no process
	dialling               // no connection
	starting               // connected, its startup not acknowledged yet
	connected              // acknowledged
)

// aLongTimeAgo is a deadline that interrupts reads and writes in progress.
var aLongTimeAgo = time.Unix(1, 0)

// agent is one simulated agent. Its goroutine is exist; the fields of the last
// group are that goroutine's own.
type agent struct {
	fleet  *Fleet
	id     string
	name   string
	ip     string   // as registered: an address, a network or any
	wireID string   // the ID in front of its messages; empty when the manager knows it by address
	from   net.Addr // that it comes from; nil for any
	cipher *secmsg.Cipher

	stage atomic.Uint32
	wake  chan struct{} // holds one token when the fate may have changed

	mu        sync.Mutex
	fate      fate
	live      net.Conn   // the connection to interrupt; nil without one
	abandoned []net.Conn // given up by the agent behind a cut network, open for the manager

	counter secmsg.Counter
	process process
}

// process is what an agent knows until its process ends; a new connection does not reset it.
type process struct {
	begun  bool                  // has been acknowledged once, and reported its start
	sent   uint32                // messages so far
	heard  time.Duration         // the last message from the manager, or the last try to reach it
	beat   time.Duration         // the last keep-alive, or the first acknowledgement
	beats  uint32                // keep-alives so far
	merged unique.Handle[string] // the shared configuration's checksum; noFile before there is one
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

// order changes the agent's fate and interrupts whatever it waits for.
func (a *agent) order(change func(fate) fate) {
	a.mu.Lock()
	a.fate = change(a.fate)
	if a.live != nil {
		a.live.SetDeadline(aLongTimeAgo)
	}
	if !a.fate.cut || a.fate.over {
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

// look returns the fate of the moment.
func (a *agent) look() fate {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fate
}
