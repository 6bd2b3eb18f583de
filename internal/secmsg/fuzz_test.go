package secmsg

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzDecode decodes what a peer could send. Random bytes almost never decrypt to
// something valid, so the input is also used as the plain text, and as the content of
// the zlib stream.
func FuzzDecode(f *testing.F) {
	var d Decoder
	for _, r := range readRecordings(f) {
		h, err := ParseHeader(bytes.Clone(r.frame))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(0), bytes.Clone(h.Body))
		packed, err := r.key.Cipher(r.method).decryptBlocks(h.Body)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(1), bytes.Clone(packed))
		plain, err := d.inflateStream(skipLeadingBangs(packed))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(2), bytes.Clone(plain[sumEnd:]))
	}
	f.Add(uint8(1), deflateText(string(make([]byte, 1<<20))))
	ciphers := []*Cipher{testKey.Cipher(AES), testKey.Cipher(Blowfish)}

	f.Fuzz(func(t *testing.T, layer uint8, data []byte) {
		for _, c := range ciphers {
			var in []byte
			switch layer % 3 {
			case 0:
				in = bytes.Clone(data)
			case 1:
				in = encryptBody(c, data)
			case 2:
				in = encryptBody(c, deflateText(prependSum(string(data))))
			}
			checkDecode(t, &d, c, in)
		}
	})
}

// checkDecode checks that a decoder returns either an error with a reason, or a message
// that encodes to the same.
func checkDecode(t *testing.T, d *Decoder, c *Cipher, in []byte) {
	t.Helper()
	m, err := d.Decode(c, in)
	if err != nil {
		reasons := 0
		for _, reason := range []error{ErrDecrypt, ErrInflate, ErrTooLong, ErrFormat, ErrChecksum} {
			if errors.Is(err, reason) {
				reasons++
			}
		}
		if reasons != 1 || m.Payload != nil {
			t.Fatalf("%d reasons and payload %q: %v", reasons, m.Payload, err)
		}
		return
	}
	if payloadAt+len(m.Payload) > MaxMessage {
		t.Fatalf("payload of %d bytes", len(m.Payload))
	}
	if cap(d.plain) > 2*MaxMessage {
		t.Fatalf("buffer of %d bytes kept", cap(d.plain))
	}
	var e Encoder
	frame, err := e.appendFrame(nil, "", c, m.Counter, m.Random, m.Payload)
	if errors.Is(err, ErrTooLong) {
		return // noise near the limit, deflated better by its sender
	}
	if err != nil {
		t.Fatal(err)
	}
	var d2 Decoder
	again, err := d2.Decode(c, frame[len(c.method.headerToken()):])
	if err != nil || !equalMessages(m, again) {
		t.Fatalf("encoded again: %v", err)
	}
}
