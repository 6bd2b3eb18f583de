package listen

import (
	"bytes"
	"compress/zlib"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"encoding/hex"
	"net"
	"strconv"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
)

// zlibFrame encrypts any plain text for an agent, also what no encoder makes.
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

// reach6 tries the link's port on the IPv6 loopback address. A datagram socket
// shows by its first answer whether somebody is there.
func (s *station) reach6(network string) (net.Conn, error) {
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
