package managersim

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// remoted is wazuh-remoted: the agents' port, the socket for requests and the
// AR queue.
type remoted struct {
	daemon
	*Manager
	addr  netip.AddrPort // of the port, once it has been open
	since int64

	peersMu sync.Mutex
	peers   map[string]*peer // by agent ID

	slots           chan struct{} // holds a token for each request in flight
	asked           sync.Map      // of a request's counter to chan []byte
	counter         requestCounter
	messageCounters remotedCounters
}

// startDaemon starts remoted, also after a stop.
func (r *remoted) startDaemon() error {
	addr := r.cfg.Listen
	if r.addr.IsValid() {
		addr = r.addr.String()
	}
	if r.cfg.isWazuh5() {
		return r.startDaemonOf5(addr)
	}
	if _, err := r.store.resetConnections(synced); err != nil {
		return err
	}
	port, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	r.addr = port.Addr().(*net.TCPAddr).AddrPort()
	requests, err := listenStream(filepath.Join(r.cfg.Home, "queue/sockets", r.requestSocket()), r.cfg.Backlog)
	if err != nil {
		_ = port.Close()
		return err
	}
	controls, err := listenDatagrams(filepath.Join(r.cfg.Home, "queue/alerts/ar"))
	if err != nil {
		_ = port.Close()
		_ = requests.Close()
		return err
	}
	r.daemon.markRunning()
	r.since, r.peers, r.slots = r.store.now(), make(map[string]*peer), make(chan struct{}, r.cfg.RequestPool)
	r.acceptConns(port, func(conn net.Conn) { r.goRun(func() { r.serveAgent(conn) }) })
	r.acceptConns(requests, r.acceptRequest)
	if r.registerCloser(controls) {
		r.goRun(func() { r.forwardControls(controls) })
	}
	r.changes.notifyAll()
	return nil
}

const (
	firstMessageTimeout = 10 * time.Second // for the first message of a connection
	writeTimeout        = time.Second      // for an agent to take a message
)

// codec is what the reader of a connection needs for each message.
type codec struct {
	dec  secmsg.Decoder
	enc  secmsg.Encoder
	wire []byte
}

var codecs = sync.Pool{New: func() any { return new(codec) }}

// serveAgent handles one connection of an agent until it ends. The end changes
// nothing in the database: only a shutdown message and monitord do.
func (r *remoted) serveAgent(conn net.Conn) {
	defer r.changes.notifyAll()
	defer r.closeAndForget(conn)
	r.counters.agents.Add(1)
	defer r.counters.agents.Add(-1)
	p := &peer{conn: conn}
	defer func() { r.removePeer(p) }()
	_ = conn.SetReadDeadline(time.Now().Add(firstMessageTimeout))
	in := bufio.NewReaderSize(conn, 512)
	var buf []byte
	for {
		var err error
		if buf, err = readMessage(in, buf); err != nil {
			return
		}
		r.messageCounters.bytesIn.Add(uint64(len(buf) + 4))
		r.control.hang.waitWhileStalled(r.quit)
		if bytes.HasPrefix(buf, []byte("#ping")) {
			if _, err := conn.Write([]byte("\x05\x00\x00\x00#pong")); err != nil {
				return
			}
			continue
		}
		if err := r.handleFrame(p, buf); err != nil {
			r.cfg.Log.Debug("remoted closes a connection", "agent", p.id, "error", err)
			return
		}
		r.changes.notifyAll()
	}
}

// readMessage reads the next message into buf, if it fits.
func readMessage(in io.Reader, buf []byte) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(in, length[:]); err != nil {
		return buf, err
	}
	size := binary.LittleEndian.Uint32(length[:])
	if size > secmsg.MaxMessage {
		return buf, secmsg.ErrTooLong
	}
	if int(size) > cap(buf) {
		buf = make([]byte, size)
	}
	buf = buf[:size]
	_, err := io.ReadFull(in, buf)
	return buf, err
}

var (
	errUnknownAgent = errors.New("no such agent")
	errOccupied     = errors.New("agent key already in use")
)

// handleFrame handles one secure message. An error ends the connection.
func (r *remoted) handleFrame(p *peer, frame []byte) error {
	h, err := secmsg.ParseHeader(frame)
	if err != nil {
		return err
	}
	c := codecs.Get().(*codec)
	defer codecs.Put(c)
	key, err := r.findKey(p, h.ID)
	if err != nil {
		return err
	}
	if p.cipher == nil || p.cipher.Method() != h.Method {
		cipher := secmsg.NewKey(key.ID, key.Name, key.Secret).Cipher(h.Method)
		p.writeMu.Lock()
		p.cipher = cipher
		p.writeMu.Unlock()
	}
	m, err := c.dec.Decode(p.cipher, h.Body)
	if err != nil {
		return err
	}
	if p.id == "" {
		if err := r.registerPeer(p, key); err != nil {
			return err
		}
	}
	p.lastMessage.Store(time.Now().UnixNano())
	r.handlePayload(p, m.Payload)
	return nil
}

// findKey returns the key of the sender of a message.
func (r *remoted) findKey(p *peer, id []byte) (*clientkeys.Key, error) {
	keys := r.keys.Load()
	if id == nil {
		from := p.conn.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
		if k, known := keys.ByAddr(from); known {
			return k, nil
		}
		return nil, errUnknownAgent
	}
	k, known := keys.ByID(id)
	if !known || p.id != "" && p.id != k.ID {
		return nil, errUnknownAgent
	}
	return k, nil
}
