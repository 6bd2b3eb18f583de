package listen

import (
	"log/slog"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/secmsg"
)

// BenchmarkDecodeAndAcknowledge measures one keep-alive of a connected agent: the frame
// is decoded, the sighting reported, the acknowledgement encoded and written. The write
// goes to the null device: the system call is included, the network is not.
func BenchmarkDecodeAndAcknowledge(b *testing.B) {
	for _, method := range []secmsg.Method{secmsg.AES, secmsg.Blowfish} {
		b.Run(method.String(), func(b *testing.B) {
			l, err := Listen(Config{Keys: readKeys(b, keyFile), Clock: detector.NewClock(),
				Report: func(detector.Sighting) {}, SetInfo: func(detector.AgentID, detector.Info) {}, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			c, maker := openNullDevice(b).newConn(), agent001(b)
			maker.method = method
			frame := maker.encodeFrame(keepAliveText)[lengthSize:]
			scratch := make([]byte, len(frame)) // decoding is in place
			b.ReportAllocs()
			for b.Loop() {
				copy(scratch, frame)
				if err := l.handleConnFrame(c, scratch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
