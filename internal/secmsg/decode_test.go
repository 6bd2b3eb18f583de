package secmsg

import (
	"bytes"
	"compress/zlib"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// encryptBody encrypts what follows the header, valid or not.
func encryptBody(c *Cipher, inside []byte) []byte {
	b := c.appendBlockPadding(bytes.Clone(inside), 0)
	for c.method == Blowfish && len(b)%8 != 0 {
		b = append(b, 0) // padding after the stream, as old senders add it
	}
	c.encryptBlocks(b)
	return b
}

// deflateText returns the zlib stream of plain behind its '!'s.
func deflateText(plain string) []byte {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write([]byte(plain))
	_ = w.Close()
	return append([]byte("!!!!!!!!"[:8-b.Len()%8]), b.Bytes()...)
}

// prependSum returns rest after its checksum.
func prependSum(rest string) string {
	sum := hexMD5Checksum([]byte(rest))
	return string(sum[:]) + rest
}

const goodRest = "123450000000007:0042:#!-agent ack "

func TestABadBodyGivesTheReasonItWasRefused(t *testing.T) {
	good := deflateText(prependSum(goodRest))
	tests := []struct {
		name   string
		inside []byte
		want   error
	}{
		{"a good one is taken", good, nil},
		{"bytes after the stream are ignored", append(bytes.Clone(good), "after"...), nil},
		{"no '!' before the stream", good[bytes.IndexByte(good, 'x'):], ErrDecrypt},
		{"nine '!' before the stream", append([]byte("!!!!!!!!!"), bytes.TrimLeft(good, "!")...), ErrInflate},
		{"only '!'", []byte("!!!!!!!!"), ErrInflate},
		{"no zlib header", []byte("!hello, world...."), ErrInflate},
		{"half a stream", good[:len(good)/2], ErrInflate},
		{"a stream without its end", good[:len(good)-4], ErrInflate},
		{"a stream that wants a dictionary", []byte("!\x78\xbb\x00\x00\x00\x02\x03\x00"), ErrInflate},
		{"an adler32 that is wrong", append(bytes.Clone(good[:len(good)-1]), good[len(good)-1]^1), ErrInflate},
		{"one byte too many inflated", deflateText(prependSum(goodRest + strings.Repeat("x", MaxMessage-32-len(goodRest)+1))), ErrTooLong},
		{"as much as may be inflated", deflateText(prependSum(goodRest + strings.Repeat("x", MaxMessage-32-len(goodRest)))), nil},
		{"a megabyte of zeros", deflateText(strings.Repeat("\x00", 1<<20)), ErrTooLong},
		{"a wrong sum", deflateText("0" + prependSum(goodRest)[1:]), ErrChecksum},
		{"a sum in upper case", deflateText(strings.ToUpper(prependSum(goodRest)[:32]) + goodRest), ErrChecksum},
		{"nothing inflated", deflateText(""), ErrFormat},
		{"one byte too few", deflateText(prependSum("123450000000007:0042")), ErrFormat},
		{"an empty payload", deflateText(prependSum("123450000000007:0042:")), nil},
		{"a letter in the random number", deflateText(prependSum("1234x0000000007:0042:")), ErrFormat},
		{"a sign in the global counter", deflateText(prependSum("12345-000000007:0042:")), ErrFormat},
		{"a space in the local counter", deflateText(prependSum("123450000000007: 042:")), ErrFormat},
		{"no colon between the counters", deflateText(prependSum("123450000000007;0042:")), ErrFormat},
		{"no colon before the payload", deflateText(prependSum("123450000000007:00421")), ErrFormat},
	}
	for _, m := range []Method{AES, Blowfish} {
		c := testKey.Cipher(m)
		var d Decoder // one for all: a bad message must not spoil the next
		for _, test := range tests {
			t.Run(fmt.Sprint(m, " ", test.name), func(t *testing.T) {
				_, err := d.Decode(c, encryptBody(c, test.inside))
				checkReason(t, err, test.want)
				have, err := d.Decode(c, encryptBody(c, good))
				if err != nil || have.Random != 12345 || have.Counter != (Counter{7, 42}) || string(have.Payload) != "#!-agent ack " {
					t.Errorf("a good message after it: %+v, %v", have, err)
				}
			})
		}
	}
}

func TestABodyThatIsNotWholeBlocksCannotBeDecrypted(t *testing.T) {
	for _, m := range []Method{AES, Blowfish} {
		c := testKey.Cipher(m)
		for _, size := range []int{0, 1, 7, 9, 15, 17, 63} {
			var d Decoder
			_, err := d.Decode(c, make([]byte, size))
			checkReason(t, err, ErrDecrypt)
		}
		var d Decoder
		_, err := d.Decode(c, make([]byte, MaxMessage+16))
		checkReason(t, err, ErrTooLong)
	}
}

func TestBadPaddingCannotBeDecrypted(t *testing.T) {
	c := testKey.Cipher(AES)
	for _, end := range []string{"\x00", "\x11", "\xff", "\x01\x02", "\x03\x02\x03"} {
		plain := append(bytes.Repeat([]byte("!"), 32-len(end)), end...)
		c.encryptBlocks(plain)
		var d Decoder
		_, err := d.Decode(c, plain)
		checkReason(t, err, ErrDecrypt)
	}
}

func TestAnotherAgentsKeyOpensNothing(t *testing.T) {
	keys := readRecordedKeys(t)
	var d Decoder
	for _, r := range readRecordings(t) {
		for id, key := range keys {
			h, err := ParseHeader(bytes.Clone(r.frame))
			if err != nil || id == r.owner {
				continue
			}
			// One wrong AES key in 256 leaves good padding by chance; the '!' stops it.
			_, err = d.Decode(key.Cipher(h.Method), h.Body)
			if !errors.Is(err, ErrDecrypt) && !errors.Is(err, ErrInflate) {
				t.Errorf("%s: key of %s on a frame of %s: %v", r.file, id, r.owner, err)
			}
		}
	}
}

func TestNoFlippedBitGoesUnnoticed(t *testing.T) {
	var d Decoder
	for _, m := range []Method{AES, Blowfish} {
		c := testKey.Cipher(m)
		var e Encoder
		frame, err := e.appendFrame(nil, "", c, Counter{7, 42}, 12345, []byte("#!-agent startup"))
		if err != nil {
			t.Fatal(err)
		}
		at := len(m.headerToken())
		for bit := at * 8; bit < len(frame)*8; bit++ {
			bad := bytes.Clone(frame[at:])
			bad[bit/8-at] ^= 1 << (bit % 8)
			have, err := d.Decode(c, bad)
			// The '!'s, and padding after the stream, are not in the checksum and may change.
			if err == nil && !equalMessages(have, Message{12345, Counter{7, 42}, []byte("#!-agent startup")}) {
				t.Errorf("%v: bit %d: taken as %+v", m, bit, have)
			}
		}
		for size := range len(frame) - at {
			if _, err := d.Decode(c, bytes.Clone(frame[at:at+size])); err == nil {
				t.Errorf("%v: cut to %d bytes: taken", m, size)
			}
		}
	}
}

// checkReason fails unless err wraps want and none of the other sentinels.
func checkReason(t *testing.T, err, want error) {
	t.Helper()
	if want == nil && err != nil {
		t.Errorf("refused: %v", err)
	}
	for _, reason := range []error{ErrHeader, ErrDecrypt, ErrInflate, ErrTooLong, ErrFormat, ErrChecksum} {
		if errors.Is(err, reason) != (reason == want) {
			t.Errorf("have %v, want %v", err, want)
		}
	}
}
