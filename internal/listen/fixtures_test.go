package listen

import (
	"bytes"
	"compress/zlib"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// nullDevice discards what is written to connections without a socket.
type nullDevice struct{ file *os.File }

func openNullDevice(t testing.TB) *nullDevice {
	t.Helper()
	file, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = file.Close() })
	return &nullDevice{file: file}
}

func (n *nullDevice) newConn() *conn {
	c := &conn{from: netip.MustParseAddrPort("127.0.0.1:40000")}
	c.reader.startAuthenticationDeadline(time.Now())
	c.writer = writeBuffer{fd: int(n.file.Fd()), setWaiting: func(bool) {}}
	return c
}

// agent001 returns an agent 001 without a connection.
func agent001(t testing.TB) *agent {
	t.Helper()
	key, _ := readKeys(t, keyFile).ByID([]byte("001"))
	return &agent{t: t, stream: true, wireID: "001", key: secmsg.NewKey(key.ID, key.Name, key.Secret)}
}

// zlibFrame returns an encrypted frame of any plain text, also one that no encoder makes.
func zlibFrame(key *clientkeys.Key, plain []byte) []byte {
	hash := func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) }
	var packed bytes.Buffer
	packed.WriteByte('!')
	w := zlib.NewWriter(&packed)
	_, _ = w.Write(plain) // a bytes.Buffer takes all
	_ = w.Close()
	n := aes.BlockSize - packed.Len()%aes.BlockSize
	body := append(packed.Bytes(), bytes.Repeat([]byte{byte(n)}, n)...)
	block, err := aes.NewCipher([]byte(hash(key.Secret)))
	if err != nil {
		panic(err) // 32 bytes are a key
	}
	cipher.NewCBCEncrypter(block, []byte("FEDCBA0987654321")).CryptBlocks(body, body)
	return append([]byte("!"+key.ID+"!#AES:"), body...)
}

// connectIPv6 connects to the link's port on the IPv6 loopback address. Over UDP it
// waits for an answer.
func (s *testLink) connectIPv6(network string) (net.Conn, error) {
	conn, err := net.Dial(network, "[::1]:"+strconv.Itoa(int(s.link.Addr().Port())))
	if err != nil || network == "tcp" {
		return conn, err
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("#ping")); err != nil {
		return nil, err
	}
	_, err = conn.Read(make([]byte, 16))
	return conn, err
}
