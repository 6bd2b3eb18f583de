package tcpclose

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestConnectionsThatAreOpenedAreCounted(t *testing.T) {
	for name, polls := range map[string]bool{"listed by the kernel": false, "read in /proc": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			port := uint16(l.Addr().(*net.TCPAddr).Port)
			ctx, cancel := context.WithCancel(t.Context())
			counts, done := make(chan int, 64), make(chan struct{})
			first, err := net.Dial("tcp", l.Addr().String()) // it was there before
			if err != nil {
				t.Fatal(err)
			}
			listed := make(chan struct{}, 64)
			go func() {
				defer close(done)
				w := Watcher{Poll: polls, Log: slog.New(slog.DiscardHandler)}
				w.WatchOpened(ctx, func(p uint16) bool {
					if p == port {
						select {
						case listed <- struct{}{}:
						default:
						}
					}
					return p == port
				}, func(n int) { counts <- n })
			}()
			<-listed // the first list is being made
			<-listed // and most likely the second one
			dial := func() {
				t.Helper()
				conn, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = conn.Close() })
			}
			for counted := false; !counted; { // the first list is complete then
				dial()
				select {
				case <-counts:
					counted = true
				case <-time.After(3 * time.Second): // it was opened while that was made
				}
			}
			for range 3 {
				dial()
			}
			for want, late := 3, time.After(time.Minute); want > 0; {
				select {
				case n := <-counts:
					want -= n
				case <-late:
					t.Fatalf("%d connections are not counted", want)
				}
			}
			cancel()
			<-done
			_, _ = first.Close(), l.Close()
			select {
			case n := <-counts:
				t.Errorf("%d more are counted", n)
			default:
			}
		})
	}
}

func FuzzParseDump(f *testing.F) {
	diag := make([]byte, netlinkHeader+minDiag)
	binary.NativeEndian.PutUint32(diag, uint32(len(diag)))
	binary.NativeEndian.PutUint16(diag[4:], sockDiagByFamily)
	binary.NativeEndian.PutUint32(diag[8:], 7)
	diag[netlinkHeader] = unix.AF_INET
	f.Add(diag)
	end := make([]byte, netlinkHeader+4)
	binary.NativeEndian.PutUint32(end, uint32(len(end)))
	binary.NativeEndian.PutUint16(end[4:], unix.NLMSG_DONE)
	binary.NativeEndian.PutUint32(end[8:], 7)
	f.Add(append(diag, end...))
	f.Fuzz(func(t *testing.T, b []byte) {
		found := 0
		_, _ = parseDump(b, 7, func(uint16) bool { return true }, func(a netip.AddrPort) {
			if found++; !a.Addr().IsValid() {
				t.Error(a)
			}
		})
		if found > len(b)/netlinkHeader {
			t.Errorf("%d connections in %d bytes", found, len(b))
		}
	})
}
