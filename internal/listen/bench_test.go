package listen

import (
	"log/slog"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// BenchmarkDecodeAndAcknowledge is what one keep-alive of a connected agent
// costs the link: the frame is decoded, the sighting reported, the
// acknowledgement encoded and written. The write goes to the null device: the
// system call is in, the network is not.
func BenchmarkDecodeAndAcknowledge(b *testing.B) {
	for _, method := range []secmsg.Method{secmsg.AES, secmsg.Blowfish} {
		b.Run(method.String(), func(b *testing.B) {
			l, err := Listen(Config{Keys: readKeys(b, keyFile), Clock: detector.NewClock(),
				Report: func(detector.Sighting) {}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			c, maker := openNull(b).conn(), agent001(b)
			maker.method = method
			frame := maker.frame(sayKeepAlive)[lengthSize:]
			scratch := make([]byte, len(frame)) // decoding is in place
			b.ReportAllocs()
			for b.Loop() {
				copy(scratch, frame)
				if err := l.receive(c, scratch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
