package agentsim

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

func TestMain(m *testing.M) {
	if os.Getenv(ackerEnv) != "" {
		if err := runAcker(); err != nil {
			log.Fatal(err)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

const testSecret = "5c22152f4f0f7b774d9833cab7f8f5735a9473ce0b3e60de4e7686ca2f3f6942"

// patience bounds every wait for an event: a test that waits this long has failed.
const patience = time.Minute

// closed is what a link's mailbox gets as its last text.
const closed = "(closed)"

// manager is a minimal manager: it decodes, stores and acknowledges messages.
type manager struct {
	t        testing.TB
	keys     map[string]clientkeys.Key
	method   secmsg.Method
	stream   bool
	mute     atomic.Bool   // acknowledge nothing
	patience time.Duration // of await
	refuse   atomic.Int32  // so many connections
	heard    atomic.Int64
	mail     map[string]chan heard // by agent ID

	mu    sync.Mutex
	links map[*link]bool
	wg    sync.WaitGroup
}

// heard is a received message and its link.
type heard struct {
	text string
	from *link
}

// link is one agent's connection, or its address.
type link struct {
	m      *manager
	write  func([]byte) error
	close  func() error
	id     string
	cipher *secmsg.Cipher

	mu      sync.Mutex
	enc     secmsg.Encoder
	dec     secmsg.Decoder
	counter secmsg.Counter
}

func newManager(t testing.TB, agents int) *manager {
	m := &manager{
		t: t, stream: true, patience: patience, keys: map[string]clientkeys.Key{},
		mail: map[string]chan heard{}, links: map[*link]bool{},
	}
	for _, k := range testKeys(t, agents) {
		m.keys[k.ID] = k
		m.mail[k.ID] = make(chan heard, 1024)
	}
	return m
}

func (m *manager) config() Config {
	c := Config{Manager: "manager:1514", Method: m.method}
	if !m.stream {
		c.Network = "udp"
	}
	for i := range len(m.keys) {
		c.Keys = append(c.Keys, m.keys[agentID(i)])
	}
	return c
}

func testKeys(t testing.TB, n int) (keys []clientkeys.Key) {
	anywhere, err := clientkeys.ParseAddress("any")
	must(t, err)
	for i := range n {
		id := agentID(i)
		keys = append(keys, clientkeys.Key{ID: id, Name: "agent" + id, IP: anywhere, Secret: testSecret})
	}
	return keys
}

func agentID(i int) string { return fmt.Sprintf("%03d", i+1) }

// listen serves TCP on loopback until the test ends.
func (m *manager) listen() (addr string) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	m.serveListener(ln)
	return ln.Addr().String()
}

func (m *manager) serveListener(ln net.Listener) {
	m.wg.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			if m.refuse.Add(-1) >= 0 {
				c.Close()
				continue
			}
			m.wg.Go(func() { m.serve(c) })
		}
	})
	m.t.Cleanup(func() { ln.Close(); m.stop() })
}

// listenUDP serves UDP on loopback until the test ends.
func (m *manager) listenUDP() (addr string) {
	m.stream = false
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		m.t.Fatal(err)
	}
	m.wg.Go(func() {
		links, buf := map[string]*link{}, make([]byte, 65536)
		for {
			n, from, err := pc.ReadFrom(buf)
			if err != nil {
				return
			}
			l := links[from.String()]
			if l == nil {
				l = &link{m: m, write: func(b []byte) error { _, err := pc.WriteTo(b, from); return err }}
				links[from.String()] = l
			}
			l.take(buf[:n])
		}
	})
	m.t.Cleanup(func() { pc.Close(); m.wg.Wait() })
	return pc.LocalAddr().String()
}

// pipe makes a fleet's dials reach this manager through memory; for synctest.
func (m *manager) pipe(f *Fleet) {
	f.dial = func(context.Context) (net.Conn, error) {
		near, far := net.Pipe()
		m.wg.Go(func() { m.serve(far) })
		return near, nil
	}
}

func (m *manager) stop() {
	m.mu.Lock()
	for l := range m.links {
		l.close()
	}
	m.mu.Unlock()
	m.wg.Wait()
}

func (m *manager) serve(c net.Conn) {
	l := &link{m: m, write: func(b []byte) error { _, err := c.Write(b); return err }, close: c.Close}
	m.mu.Lock()
	m.links[l] = true
	m.mu.Unlock()
	defer func() {
		c.Close()
		m.mu.Lock()
		delete(m.links, l)
		m.mu.Unlock()
		if l.id != "" {
			m.put(l, closed)
		}
	}()
	if !m.stream {
		buf := make([]byte, 65536)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			l.take(buf[:n])
		}
	}
	r := bufio.NewReader(c)
	for {
		var size [4]byte
		if _, err := io.ReadFull(r, size[:]); err != nil {
			return
		}
		frame := make([]byte, binary.LittleEndian.Uint32(size[:]))
		if _, err := io.ReadFull(r, frame); err != nil {
			return
		}
		l.take(frame)
	}
}

func (m *manager) put(l *link, text string) {
	select {
	case m.mail[l.id] <- heard{text, l}:
	default: // a test that counts does not read its mail
	}
}

func (l *link) take(frame []byte) {
	h, err := secmsg.ParseHeader(frame)
	if err != nil {
		l.m.t.Errorf("header: %v", err)
		return
	}
	if l.cipher == nil {
		k := l.m.keys[string(h.ID)]
		if h.ID == nil { // known by its address: there is just one here
			k = l.m.keys["001"]
		}
		if (h.ID == nil) != k.IP.SingleHost() {
			l.m.t.Errorf("agent %s at %s: ID in its message is %q", k.ID, k.IP, h.ID)
		}
		l.id, l.cipher = k.ID, secmsg.NewKey(k.ID, k.Name, k.Secret).Cipher(h.Method)
	}
	msg, err := l.dec.Decode(l.cipher, h.Body)
	if err != nil {
		l.m.t.Errorf("decode: %v", err)
		return
	}
	text := string(msg.Payload)
	l.m.heard.Add(1)
	l.m.put(l, text)
	isControl := strings.HasPrefix(text, "#!-") && !strings.HasPrefix(text, "#!-req ") && text != "#!-agent shutdown "
	if isControl && !l.m.mute.Load() {
		l.send("#!-agent ack ")
	}
}

// send sends a message to the agent; one that is gone does not matter.
func (l *link) send(text string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var b []byte
	if l.m.stream {
		b = secmsg.BeginFrame(b)
	}
	l.counter.Next()
	b, err := l.enc.AppendToAgent(b, l.cipher, l.counter, []byte(text))
	if err != nil {
		l.m.t.Errorf("encode: %v", err)
		return
	}
	if l.m.stream {
		secmsg.EndFrame(b, 0)
	}
	_ = l.write(bytes.Clone(b))
}

// await skips messages of an agent until one with that prefix.
func (m *manager) await(id, prefix string) heard {
	m.t.Helper()
	var skipped []string
	after := time.After(m.patience)
	for {
		select {
		case h := <-m.mail[id]:
			if strings.HasPrefix(h.text, prefix) {
				return h
			}
			skipped = append(skipped, h.text)
		case <-after:
			m.t.Fatalf("agent %s never said %q, but %q", id, prefix, skipped)
		}
	}
}

// next returns the next message of an agent.
func (m *manager) next(id string) heard {
	m.t.Helper()
	return m.await(id, "")
}

// start runs a fleet until the test ends, or until the returned function is called.
func start(t testing.TB, f *Fleet) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

func newFleet(t testing.TB, c Config) *Fleet {
	t.Helper()
	f, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func settle(t testing.TB, f *Fleet) {
	t.Helper()
	select {
	case <-f.Settled():
	case <-time.After(patience):
		t.Fatalf("the fleet did not settle: %+v", f.Stats())
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
