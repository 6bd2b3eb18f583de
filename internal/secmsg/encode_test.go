package secmsg

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"
)

const (
	testID     = "001"
	testName   = "web-01"
	testSecret = "5c22152f4f0f7b774d9833cab7f8f5735a9473ce0b3e60de4e7686ca2f3f6942"
)

var testKey = NewKey(testID, testName, testSecret)

// incompressibleBytes returns n bytes that zlib does not shorten, the same in every run.
func incompressibleBytes(n int) []byte {
	r := rand.NewChaCha8([32]byte{1})
	b := make([]byte, n)
	_, _ = r.Read(b)
	return b
}

func TestEveryPayloadLengthReachesBothReaders(t *testing.T) {
	var sizes []int
	step := 1
	if testing.Short() {
		step = 7 // still covers every length of a cipher's last block
	}
	for n := 0; n <= 2000; n += step {
		sizes = append(sizes, n)
	}
	sizes = append(sizes, 4095, 4096, 16384, 40000, 60000, MaxMessage-payloadAt-100)
	text := bytes.Repeat([]byte("#!-agent ack and what else an agent may hear; "), 2000)
	raw := incompressibleBytes(MaxMessage)

	var e Encoder
	n := Counter{Global: 7, Local: 1}
	for _, m := range []Method{AES, Blowfish} {
		c := testKey.Cipher(m)
		for i, size := range sizes {
			payload := text[:size]
			if i%2 == 0 {
				payload = raw[:size]
			}
			n.Next()
			frame, err := e.AppendToAgent(nil, c, n, payload)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			checkBothReaders(t, frame, "", m, n, payload)
			if frame, err = e.AppendToManager(nil, testID, c, n, payload); err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			checkBothReaders(t, frame, testID, m, n, payload)
		}
	}
}

func TestAnyMessageReachesBothReaders(t *testing.T) {
	ciphers := []*Cipher{testKey.Cipher(AES), testKey.Cipher(Blowfish)}
	var e Encoder // one for all: a message must not affect the next
	rapid.Check(t, func(t *rapid.T) {
		c := rapid.SampledFrom(ciphers).Draw(t, "cipher")
		id := rapid.StringMatching(`|[0-9]{1,8}`).Draw(t, "id")
		n := Counter{
			Global: rapid.Uint64Range(0, globalLimit-1).Draw(t, "global"),
			Local:  rapid.Uint16Range(0, localLimit-1).Draw(t, "local"),
		}
		payload := rapid.SliceOfN(rapid.Byte(), 0, 1000).Draw(t, "payload")
		before := rapid.SliceOfN(rapid.Byte(), 0, 9).Draw(t, "before")

		out, err := e.AppendToManager(bytes.Clone(before), id, c, n, payload)
		if err != nil {
			t.Fatalf("%v", err)
		}
		if !bytes.HasPrefix(out, before) {
			t.Fatalf("what stood before is gone")
		}
		checkBothReaders(t, out[len(before):], id, c.Method(), n, payload)
	})
}

func TestWhatDoesNotFitIsRefusedAndLeavesTheBufferAlone(t *testing.T) {
	tests := []struct {
		name    string
		id      string
		counter Counter
		payload []byte
		want    error
	}{
		{"a payload past the limit", "001", Counter{}, make([]byte, MaxMessage-payloadAt+1), ErrTooLong},
		{"noise that fits only without its envelope", "001", Counter{}, incompressibleBytes(MaxMessage - payloadAt), ErrTooLong},
		{"a global counter of eleven digits", "001", Counter{Global: globalLimit}, nil, ErrFormat},
		{"a local counter of five digits", "001", Counter{Local: localLimit}, nil, ErrFormat},
		{"an id of nine digits", "123456789", Counter{}, nil, ErrHeader},
		{"an id with a letter", "00a", Counter{}, nil, ErrHeader},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var e Encoder
			dst := []byte("before")
			out, err := e.AppendToManager(dst, test.id, testKey.Cipher(AES), test.counter, test.payload)
			if !errors.Is(err, test.want) || !bytes.Equal(out, dst) {
				t.Errorf("have %.20q and %v, want %v", out, err, test.want)
			}
		})
	}
}

func TestTheLongestCompressiblePayloadFits(t *testing.T) {
	var e Encoder
	payload := make([]byte, MaxMessage-payloadAt)
	for _, m := range []Method{AES, Blowfish} {
		frame, err := e.AppendToAgent(nil, testKey.Cipher(m), Counter{}, payload)
		if err != nil {
			t.Fatal(err)
		}
		checkBothReaders(t, frame, "", m, Counter{}, payload)
	}
}

func TestAFrameInAStreamStartsWithItsLength(t *testing.T) {
	buf := []byte("before")
	start := len(buf)
	buf = append(BeginFrame(buf), "#pong"...)
	EndFrame(buf, start)
	if want := "before\x05\x00\x00\x00#pong"; string(buf) != want {
		t.Errorf("have %q, want %q", buf, want)
	}
}
