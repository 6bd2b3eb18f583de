package hostprobe

import (
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// BenchmarkProbe has the processor time of a probe, of this process and the kernel for it: of a host that answers a
// ping, where this host allows one, and of one that refuses a connection.
func BenchmarkProbe(b *testing.B) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	addr := netip.MustParseAddrPort(closed.Addr().String())
	if err := closed.Close(); err != nil {
		b.Fatal(err)
	}
	began := processorTime(b)
	for b.Loop() {
		if got, err := usualTimings.probeHost(b.Context(), addr.Addr(), []int{int(addr.Port())}); got.Host != Answers {
			b.Fatal(got, err)
		}
	}
	b.ReportMetric(float64(processorTime(b)-began)/1e3/float64(b.N), "cpu-µs/op")
}

// processorTime returns the processor time of this process, in nanoseconds.
func processorTime(b *testing.B) int64 {
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return usage.Utime.Nano() + usage.Stime.Nano()
}
