package listen

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// peer is one way to an agent: a TCP connection, or the address its datagrams
// come from.
type peer struct {
	id         detector.AgentID
	name       string
	key        *clientkeys.Key // guarded by the registry
	leaving    bool            // guarded by the registry
	left       chan struct{}   // closed when it is out of the registry
	conn       *conn           // nil over UDP
	claims     bool            // its first message was not newer than all before: it is not entered before it has answered; for the reader
	history    *history
	book       addressBook // the reader's, as are window and asked
	window     window
	doubtedAt  detector.Instant // when it was asked last, if it was, since a message was not newer than all before
	doubtAsked bool
	asked      int // questions that it need not answer to be believed

	lastSeen atomic.Int64 // an Instant

	mu      sync.Mutex // guards the rest: whoever sends
	cipher  *secmsg.Cipher
	counter secmsg.Counter
	from    netip.AddrPort // where it is
}

// newPeer makes the peer of a key's agent. Its counter starts at the present
// second, so that it is higher than in any connection before.
func newPeer(key *clientkeys.Key, c *conn, from netip.AddrPort, cipher *secmsg.Cipher) (*peer, error) {
	id, err := detector.ParseID(key.ID)
	if err != nil {
		return nil, refuse(unknownAgent, err)
	}
	return &peer{id: id, name: key.Name, key: key, left: make(chan struct{}), conn: c, from: from, cipher: cipher,
		counter: secmsg.Counter{Global: uint64(time.Now().Unix())}}, nil
}

// cipherOf makes the cipher for an agent's key.
func cipherOf(key *clientkeys.Key, m secmsg.Method) *secmsg.Cipher {
	return secmsg.NewKey(key.ID, key.Name, key.Secret).Cipher(m)
}

// ended returns a channel that is closed when the peer's connection ends; nil over UDP.
func (p *peer) ended() <-chan struct{} {
	if p.conn == nil {
		return nil
	}
	return p.conn.out.ended()
}

func (p *peer) silence(now detector.Instant) time.Duration {
	last := p.lastSeen.Load()
	if last > int64(now) { // read before the time in which the process was stopped was taken out of the clock
		p.lastSeen.CompareAndSwap(last, int64(now))
		return 0
	}
	return now.Sub(detector.Instant(last))
}

func (p *peer) addr() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.from
}

// locate notes where a peer's last message came from, and how it was encrypted:
// the answer goes there, in the same way.
func (p *peer) locate(from netip.AddrPort, cipher *secmsg.Cipher) {
	if p.from == from && p.cipher == cipher { // only the reader changes them
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from, p.cipher = from, cipher
}

// codec is what it takes to read and write messages. They are pooled: a peer
// needs one only while it has something to say.
type codec struct {
	dec   secmsg.Decoder
	enc   secmsg.Encoder
	frame []byte
	text  []byte
}

var codecs = sync.Pool{New: func() any { return new(codec) }}

// send encodes a message for the peer and hands it to the network, which does
// not make the caller wait.
func (l *Link) send(p *peer, c *codec, payload []byte) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counter.Next()
	c.frame = c.frame[:0]
	if p.conn != nil {
		c.frame = secmsg.BeginFrame(c.frame)
	}
	frame, err := c.enc.AppendToAgent(c.frame, p.cipher, p.counter, payload)
	c.frame = frame
	if err != nil {
		return err
	}
	if p.conn == nil {
		_, err = l.udp.WriteToUDPAddrPort(frame, p.from)
		return err
	}
	secmsg.EndFrame(frame, 0)
	return p.conn.out.write(frame)
}
