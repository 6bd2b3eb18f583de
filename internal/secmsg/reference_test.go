package secmsg

import (
	"bytes"
	"compress/zlib"
	"crypto/aes"
	"crypto/cipher"
	"crypto/md5"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"testing"

	"golang.org/x/crypto/blowfish" //lint:ignore SA1019 old agents speak nothing else
)

// referenceResult is what the reference decoder returns.
type referenceResult struct {
	id     string
	method Method
	msg    Message
}

var (
	frameShape = regexp.MustCompile(`(?s)^(?:!(\d{1,8})!)?(#AES:|:)(.*)$`)
	plainShape = regexp.MustCompile(`(?s)^([0-9a-f]{32})((\d{5})(\d{10}):(\d{4}):(.*))$`)
)

// decodeReference decodes a frame as the protocol's description specifies, with the
// standard library, simple and slow. It shares no code with the package.
func decodeReference(id, name, secret string, frame []byte) (referenceResult, error) {
	parts := frameShape.FindSubmatch(frame)
	if parts == nil {
		return referenceResult{}, fmt.Errorf("frame %.20q", frame)
	}
	hexSum := func(s string) string { return fmt.Sprintf("%x", md5.Sum([]byte(s))) }
	key := []byte(hexSum(secret) + hexSum(hexSum(name) + hexSum(id))[:15])

	o := referenceResult{id: string(parts[1])}
	var block cipher.Block
	var iv []byte
	var err error
	if string(parts[2]) == "#AES:" {
		block, err = aes.NewCipher(key[:32])
		iv = []byte("FEDCBA0987654321")
	} else {
		o.method = Blowfish
		block, err = blowfish.NewCipher(key)
		iv = []byte("\xfe\xdc\xba\x98\x76\x54\x32\x10")
	}
	if err != nil {
		return o, err
	}
	plain := make([]byte, len(parts[3]))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(plain, parts[3])
	if o.method == AES {
		n := int(plain[len(plain)-1])
		if want := bytes.Repeat([]byte{byte(n)}, n); !bytes.HasSuffix(plain, want) {
			return o, fmt.Errorf("padding %x", plain[len(plain)-16:])
		}
		plain = plain[:len(plain)-n]
	}
	stream := bytes.TrimLeft(plain, "!")
	if n := len(plain) - len(stream); n < 1 || n > 8 || len(plain)%8 != 0 {
		return o, fmt.Errorf("%d bangs in %d bytes", n, len(plain))
	}
	o.msg, err = parseReference(stream)
	return o, err
}

func parseReference(stream []byte) (Message, error) {
	z, err := zlib.NewReader(bytes.NewReader(stream))
	if err != nil {
		return Message{}, err
	}
	inflated, err := io.ReadAll(z)
	if err != nil {
		return Message{}, err
	}
	f := plainShape.FindSubmatch(inflated)
	if f == nil || fmt.Sprintf("%x", md5.Sum(f[2])) != string(f[1]) {
		return Message{}, fmt.Errorf("inflated %.60q", inflated)
	}
	var n [3]uint64
	for i := range n {
		n[i], _ = strconv.ParseUint(string(f[3+i]), 10, 64)
	}
	return Message{Random: uint32(n[0]), Counter: Counter{n[1], uint16(n[2])}, Payload: f[6]}, nil
}

// checkBothReaders decodes one encoded frame with the decoder and the reference.
func checkBothReaders(t fataler, frame []byte, wantID string, m Method, n Counter, payload []byte) {
	o, err := decodeReference(testID, testName, testSecret, frame)
	if err != nil {
		t.Fatalf("reference: %v", err)
	}
	if o.id != wantID || o.method != m || o.msg.Counter != n || !bytes.Equal(o.msg.Payload, payload) {
		t.Fatalf("reference: have id %q %v %v and %d bytes", o.id, o.method, o.msg.Counter, len(o.msg.Payload))
	}
	h, err := ParseHeader(bytes.Clone(frame))
	if err != nil {
		t.Fatalf("%v", err)
	}
	if string(h.ID) != wantID || h.Method != m {
		t.Fatalf("header: have %q %v", h.ID, h.Method)
	}
	var d Decoder
	have, err := d.Decode(testKey.Cipher(m), h.Body)
	if err != nil {
		t.Fatalf("%v", err)
	}
	if !equalMessages(have, o.msg) {
		t.Fatalf("decoder and reference differ: %v %v", have.Counter, o.msg.Counter)
	}
}

type fataler interface{ Fatalf(string, ...any) }

func TestTheReferenceReadsTheRecordingsToo(t *testing.T) {
	secrets := map[string][2]string{}
	for id, line := range readClientKeys(t) {
		secrets[id] = [2]string{line[1], line[3]}
	}
	for i, r := range readRecordings(t) {
		who := secrets[r.owner]
		o, err := decodeReference(r.owner, who[0], who[1], r.frame)
		if err != nil || o.id != r.id || o.method != r.method || !equalMessages(o.msg, r.want) {
			t.Errorf("%s frame %d: have %+v (%v), want %+v", r.file, i, o, err, r.want)
		}
	}
}
