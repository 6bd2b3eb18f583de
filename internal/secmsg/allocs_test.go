//go:build !race

package secmsg

import "testing"

// With the race detector, a sync.Pool drops some of what it is given.
func TestEncodingAndDecodingAShortMessageAllocatesNothing(t *testing.T) {
	for _, m := range []Method{AES, Blowfish} {
		var e Encoder
		var d Decoder
		c := testKey.Cipher(m)
		out := make([]byte, 0, 512)
		allocs := testing.AllocsPerRun(100, func() {
			frame, err := e.AppendToManager(out, testID, c, Counter{Local: 1}, ack)
			if err != nil {
				t.Fatal(err)
			}
			h, err := ParseHeader(frame)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := d.Decode(c, h.Body); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%v: %v allocations", m, allocs)
		}
	}
}
