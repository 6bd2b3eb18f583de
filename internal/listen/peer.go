package listen

import (
	"bytes"
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentinfo"
	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// peer is where an agent is reached: a TCP connection, or the address its datagrams
// come from.
type peer struct {
	id             detector.AgentID
	name           string
	key            *clientkeys.Key // guarded by the registry
	leaving        bool            // guarded by the registry
	removed        chan struct{}   // closed when it is out of the registry; nil until somebody waits for that; guarded by the registry
	conn           *conn           // nil over UDP
	isClaim        bool            // its first message was not newer than all before: it is not in the registry before it has answered; the reader's
	isProven       bool            // it has shown that it has the key, by what cannot be a recording; the reader's
	rival          atomic.Pointer[rival]
	history        *history
	addresses      addressCache // the reader's, as are info, window and questionsAsked
	info           peerInfo
	window         counterWindow
	lastDoubt      detector.Instant // when a message that was not newer than all before last made it be asked
	hasDoubt       bool
	questionsAsked int // questions without whose answer its messages count

	lastSeen atomic.Int64 // an Instant

	mu      sync.Mutex // guards the rest, which is used to send
	cipher  *secmsg.Cipher
	counter secmsg.Counter
	from    netip.AddrPort // where it is
}

// newPeer returns a peer of a key's agent. Its counter starts at the current Unix
// second, so that it is higher than in any earlier connection.
func newPeer(key *clientkeys.Key, c *conn, from netip.AddrPort, cipher *secmsg.Cipher) (*peer, error) {
	id, err := detector.ParseID(key.ID)
	if err != nil {
		return nil, refuse(unknownAgent, err)
	}
	return &peer{id: id, name: key.Name, key: key, conn: c, from: from, cipher: cipher,
		counter: secmsg.Counter{Global: uint64(time.Now().Unix())}}, nil
}

func newCipher(key *clientkeys.Key, m secmsg.Method) *secmsg.Cipher {
	return secmsg.NewKey(key.ID, key.Name, key.Secret).Cipher(m)
}

// endSignal returns a channel that is closed when the peer's connection ends; nil over UDP.
func (p *peer) endSignal() <-chan struct{} {
	if p.conn == nil {
		return nil
	}
	return p.conn.writer.endSignal()
}

func (p *peer) silentFor(now detector.Instant) time.Duration {
	last := p.lastSeen.Load()
	if last > int64(now) { // read before the clock was corrected for the time in which the process was stopped
		p.lastSeen.CompareAndSwap(last, int64(now))
		return 0
	}
	return now.Sub(detector.Instant(last))
}

func (p *peer) address() netip.AddrPort {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.from
}

// setReplyLocation records where a peer's last message came from, and how it was encrypted:
// the answer is sent there, encrypted in the same way.
func (p *peer) setReplyLocation(from netip.AddrPort, cipher *secmsg.Cipher) {
	if p.from == from && p.cipher == cipher { // only the reader changes them
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.from, p.cipher = from, cipher
}

// endConn ends the peer's connection, if it has one.
func (p *peer) endConn() {
	if p.conn != nil {
		p.conn.writer.endConn(net.ErrClosed)
	}
}

// codec holds the buffers for reading and writing messages. Codecs are pooled: a peer
// needs one only while it handles a message.
type codec struct {
	dec   secmsg.Decoder
	enc   secmsg.Encoder
	frame []byte
	text  []byte
}

var codecs = sync.Pool{New: func() any { return new(codec) }}

// withCodec runs f with a codec of the pool. A codec that a panic may have left in an
// undefined state is not put back.
func withCodec(f func(*codec) error) error {
	c := codecs.Get().(*codec)
	err := f(c)
	codecs.Put(c)
	return err
}

// sendToPeer encodes a message for the peer and sends it, without blocking.
func (l *Link) sendToPeer(p *peer, c *codec, payload []byte) error {
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
	return p.conn.writer.writeOrQueue(frame)
}

// infoPeriod is the least time between two changes of what one peer sends of itself: what
// comes before is read with a later keep-alive.
const infoPeriod = time.Second

// infoSeed makes the sums of lines unforeseeable.
var infoSeed = maphash.MakeSeed()

// peerInfo is which line a peer's info was read from last, and when.
type peerInfo struct {
	sum    uint64 // of the line
	readAt detector.Instant
	isRead bool
}

// isChanged reports whether a line has to be read: it differs from the last one, and that
// was not read just now.
func (i *peerInfo) isChanged(line []byte, now detector.Instant) bool {
	sum := maphash.Bytes(infoSeed, line)
	if i.isRead && (sum == i.sum || now.Sub(i.readAt) < infoPeriod) {
		return false
	}
	*i = peerInfo{sum, now, true}
	return true
}

// updateInfo passes on what an agent sends of itself in the first line of a keep-alive, if
// that has changed.
func (l *Link) updateInfo(p *peer, now detector.Instant, keepAlive []byte) {
	line := keepAlive[len(controlPrefix):]
	line = line[:min(len(line), agentinfo.MaxLine)]
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	if l.setInfo != nil && p.info.isChanged(line, now) {
		l.setInfo(p.id, agentinfo.ParseKeepAlive(string(line)))
	}
}
