package bench

import (
	"bufio"
	"bytes"
	"compress/zlib"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// RunBareManager is the least that a manager of agents can be, with the standard library
// and without anything of Pulse: one thread waits for connections and messages, reads,
// decrypts, inflates, checks the sum, and acknowledges, over TCP and UDP. It detects nothing
// and reports nothing. The rest is as with [RunListenNode].
func RunBareManager(agents int, r io.Reader, w io.Writer) error {
	m := &bareManager{conns: make(map[int]bool), started: make(map[string]bool), secrets: make(map[string]cipher.Block, agents)}
	for _, k := range makeKeys(agents, 4) {
		sum := md5.Sum([]byte(k.Secret))
		block, err := aes.NewCipher([]byte(hex.EncodeToString(sum[:])))
		if err != nil {
			return err
		}
		m.secrets[k.ID] = block
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	listener, err := l.(*net.TCPListener).File()
	if err != nil {
		return err
	}
	datagrams, err := listenDatagrams(l.Addr())
	if err != nil {
		return err
	}
	fmt.Fprintln(w, l.Addr())
	failed := make(chan error, 1)
	go func() { failed <- m.serve(int(listener.Fd()), int(datagrams.Fd())) }()
	for lines := bufio.NewScanner(r); lines.Scan(); {
		select {
		case err := <-failed:
			return err
		default:
		}
		use := managerUse{Active: int(m.active.Load()), KeepAlives: m.keepAlives.Load()}
		if err := use.readProcessUse(); err != nil {
			return err
		}
		if err := json.NewEncoder(w).Encode(use); err != nil {
			return err
		}
	}
	return errors.Join(listener.Close(), l.Close(), datagrams.Close()) // the thread ends with the process
}

// bareManager is for one thread but for its counts.
type bareManager struct {
	secrets    map[string]cipher.Block
	conns      map[int]bool    // whether the agent has started
	started    map[string]bool // agents over UDP
	counter    uint64
	source     bytes.Reader
	inflate    io.ReadCloser
	plain      bytes.Buffer
	packed     bytes.Buffer
	deflate    *zlib.Writer
	frame      []byte
	active     atomic.Int64
	keepAlives atomic.Int64
}

// serve serves agents until the process ends.
func (m *bareManager) serve(listener, datagrams int) error {
	runtime.LockOSThread()
	m.counter = uint64(time.Now().Unix())
	var err error
	if m.deflate, err = zlib.NewWriterLevel(io.Discard, zlib.NoCompression); err != nil {
		return err
	}
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("epoll_create1", err)
	}
	add := func(fd int) error {
		return unix.EpollCtl(epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)})
	}
	for _, fd := range []int{listener, datagrams} {
		if err := add(fd); err != nil {
			return os.NewSyscallError("epoll_ctl", err)
		}
	}
	events, buffer := make([]unix.EpollEvent, 256), make([]byte, 64<<10)
	for {
		n, err := unix.EpollWait(epoll, events, -1)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return os.NewSyscallError("epoll_wait", err)
		}
		for _, e := range events[:n] {
			if int(e.Fd) == datagrams {
				m.readDatagrams(datagrams, buffer)
				continue
			}
			if int(e.Fd) == listener {
				if fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC); err == nil {
					m.conns[fd] = false
					if err := add(fd); err != nil {
						return os.NewSyscallError("epoll_ctl", err)
					}
				}
				continue
			}
			m.readConn(int(e.Fd), buffer)
		}
	}
}

// readConn reads from a connection. The messages of simulated agents arrive whole.
func (m *bareManager) readConn(fd int, buffer []byte) {
	n, err := unix.Read(fd, buffer)
	if err == unix.EAGAIN || err == unix.EINTR {
		return
	}
	for rest := buffer[:max(n, 0)]; len(rest) > 4; {
		size := 4 + int(binary.LittleEndian.Uint32(rest))
		if size > len(rest) || !m.serveMessage(fd, rest[4:size]) {
			n = 0
			break
		}
		rest = rest[size:]
	}
	if n <= 0 {
		if m.conns[fd] {
			m.active.Add(-1)
		}
		delete(m.conns, fd)
		_ = unix.Close(fd)
	}
}

// serveMessage reads a message of a connection and acknowledges it. It reports false for
// what it does not understand.
func (m *bareManager) serveMessage(fd int, frame []byte) bool {
	text, block := m.readMessage(frame)
	if block == nil {
		return false
	}
	if !m.conns[fd] {
		m.conns[fd] = true
		m.active.Add(1)
	}
	m.countMessage(text)
	ack := m.makeAck(block)
	n, err := unix.Write(fd, ack)
	return err == nil && n == len(ack)
}

const (
	bareIV       = "FEDCBA0987654321"
	bareTextFrom = 32 + 5 + 10 + 1 + 4 + 1 // the sum, a random number, the counter
)

// readMessage decrypts and inflates a message, and returns its text and the agent's cipher:
// nil for what it does not understand.
func (m *bareManager) readMessage(frame []byte) ([]byte, cipher.Block) {
	id, body, ok := bytes.Cut(frame, []byte("!#AES:")) // !001!#AES:…
	if !ok || len(id) < 2 || len(body) == 0 || len(body)%aes.BlockSize != 0 {
		return nil, nil
	}
	block := m.secrets[string(id[1:])]
	if block == nil {
		return nil, nil
	}
	cipher.NewCBCDecrypter(block, []byte(bareIV)).CryptBlocks(body, body)
	m.source.Reset(bytes.TrimLeft(body, "!"))
	var err error
	if m.inflate == nil {
		m.inflate, err = zlib.NewReader(&m.source)
	} else {
		err = m.inflate.(zlib.Resetter).Reset(&m.source, nil)
	}
	if err != nil {
		return nil, nil
	}
	m.plain.Reset()
	if _, err := m.plain.ReadFrom(m.inflate); err != nil || m.plain.Len() < bareTextFrom {
		return nil, nil
	}
	plain := m.plain.Bytes()
	if sum := md5.Sum(plain[32:]); hex.EncodeToString(sum[:]) != string(plain[:32]) {
		return nil, nil
	}
	return plain[bareTextFrom:], block
}

func (m *bareManager) countMessage(text []byte) {
	if !bytes.HasPrefix(text, []byte("#!-agent ")) {
		m.keepAlives.Add(1)
	}
}

// makeAck returns the frame of an acknowledgement: its length, and what is a datagram too.
func (m *bareManager) makeAck(block cipher.Block) []byte {
	m.counter++
	text := append([]byte("00000"), fmt.Sprintf("%010d:%04d:#!-agent ack ", m.counter, 1)...)
	sum := md5.Sum(text)
	m.packed.Reset()
	m.deflate.Reset(&m.packed)
	_, _ = m.deflate.Write(append([]byte(hex.EncodeToString(sum[:])), text...))
	_ = m.deflate.Close()
	bangs := 8 - m.packed.Len()%8
	m.frame = append(m.frame[:0], "\x00\x00\x00\x00#AES:"...)
	from := len(m.frame)
	m.frame = append(append(m.frame, "!!!!!!!!"[:bangs]...), m.packed.Bytes()...)
	pad := aes.BlockSize - (len(m.frame)-from)%aes.BlockSize
	m.frame = append(m.frame, bytes.Repeat([]byte{byte(pad)}, pad)...)
	cipher.NewCBCEncrypter(block, []byte(bareIV)).CryptBlocks(m.frame[from:], m.frame[from:])
	binary.LittleEndian.PutUint32(m.frame, uint32(len(m.frame)-4))
	return m.frame
}
