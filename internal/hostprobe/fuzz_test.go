package hostprobe

import (
	"bytes"
	"net/netip"
	"testing"
)

// FuzzEchoReply holds that no bytes are taken for the reply to a request but those of the reply, whatever its checksum,
// which the kernel has verified.
func FuzzEchoReply(f *testing.F) {
	requests := []*echoRequest{newEchoRequest(netip.MustParseAddr("192.0.2.1"), 0x1234), newEchoRequest(netip.MustParseAddr("2001:db8::1"), 0x1234)}
	for i, r := range requests {
		r.seq, r.data = 7, [echoData]byte{1, 2, 3}
		f.Add(i == 1, replyTo(f, r))
		request, err := r.marshal()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(i == 1, request)
		for kind := range 44 {
			f.Add(i == 1, append([]byte{byte(kind), 0, 0, 0, 0, 5, 0, 0}, request...))
		}
	}
	f.Fuzz(func(t *testing.T, v6 bool, b []byte) {
		r := requests[0]
		if v6 {
			r = requests[1]
		}
		want := replyTo(t, r)
		if len(b) >= 4 {
			copy(want[2:4], b[2:4])
		}
		if got := r.isAnsweredBy(b); got != bytes.Equal(b, want) {
			t.Errorf("%x: answered %v; the reply is %x", b, got, want)
		}
	})
}

// replyTo returns the reply to a request.
func replyTo(t testing.TB, r *echoRequest) []byte {
	t.Helper()
	b, err := r.marshal()
	if err != nil {
		t.Fatal(err)
	}
	b[0] = 0
	if r.protocol == protocolICMPv6 {
		b[0] = 129
	}
	return b
}

func TestEachRequestIsUnlikeTheOthers(t *testing.T) {
	seen := make(map[[echoData]byte]bool)
	for range 1000 {
		r := newEchoRequest(testAddr, 1)
		if seen[r.data] {
			t.Fatal("the same data twice")
		}
		seen[r.data] = true
	}
}
