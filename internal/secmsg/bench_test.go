package secmsg

import (
	"bytes"
	"testing"
)

// readKeepAlive returns the first recorded agent's keep-alive of a method.
func readKeepAlive(b *testing.B, m Method) recorded {
	b.Helper()
	for _, r := range readRecordings(b) {
		if r.toMgr && r.method == m && bytes.HasPrefix(r.want.Payload, []byte("#!-Linux")) {
			return r
		}
	}
	b.Fatal("no keep-alive in the recordings")
	return recorded{}
}

var ack = []byte("#!-agent ack ")

// runBench runs work for each method on a fresh copy of a recorded keep-alive.
func runBench(b *testing.B, work func(c *Cipher, frame []byte)) {
	for _, m := range []Method{AES, Blowfish} {
		b.Run(m.String(), func(b *testing.B) {
			r := readKeepAlive(b, m)
			c := r.key.Cipher(m)
			frame := make([]byte, len(r.frame))
			b.ReportAllocs()
			for b.Loop() {
				copy(frame, r.frame)
				work(c, frame)
			}
		})
	}
}

func BenchmarkDecodeKeepAlive(b *testing.B) {
	var d Decoder
	runBench(b, func(c *Cipher, frame []byte) { decodeFrame(b, &d, c, frame) })
}

func BenchmarkEncodeAck(b *testing.B) {
	var e Encoder
	var n Counter
	out := make([]byte, 0, 256)
	runBench(b, func(c *Cipher, _ []byte) { encodeAck(b, &e, c, &n, out) })
}

func BenchmarkDecodeAndAcknowledge(b *testing.B) {
	var d Decoder
	var e Encoder
	var n Counter
	out := make([]byte, 0, 256)
	runBench(b, func(c *Cipher, frame []byte) {
		decodeFrame(b, &d, c, frame)
		encodeAck(b, &e, c, &n, out)
	})
}

func BenchmarkKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewKey("001", "agent001", "5c22152f4f0f7b774d9833cab7f8f5735a9473ce0b3e60de4e7686ca2f3f6942")
	}
}

func BenchmarkCipher(b *testing.B) {
	for _, m := range []Method{AES, Blowfish} {
		b.Run(m.String(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Key{}.Cipher(m)
			}
		})
	}
}

func decodeFrame(b *testing.B, d *Decoder, c *Cipher, frame []byte) {
	h, err := ParseHeader(frame)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := d.Decode(c, h.Body); err != nil {
		b.Fatal(err)
	}
}

func encodeAck(b *testing.B, e *Encoder, c *Cipher, n *Counter, out []byte) {
	n.Next()
	out, err := e.AppendToAgent(BeginFrame(out), c, *n, ack)
	if err != nil {
		b.Fatal(err)
	}
	EndFrame(out, 0)
}
