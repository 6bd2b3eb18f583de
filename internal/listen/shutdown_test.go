package listen

import (
	"net"
	"testing"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// An agent that is stopped closes its connection with acknowledgements unread, so that
// the next one cannot be written. The shutdown message behind its last keep-alives counts.
func TestAShutdownIsReadThoughTheAgentReadsNothingAnyMore(t *testing.T) {
	gone := make(chan struct{})
	s := openLink(t, func(c *Config) {
		report := c.Report
		c.Report = func(seen detector.Sighting) {
			report(seen)
			if seen.Kind == detector.SawKeepAlive {
				<-gone
			}
		}
	})
	a := s.dialAgent("tcp", "001", "")
	s.startAgent(a, 1)
	var last []byte
	for _, text := range []string{keepAliveText, keepAliveText, keepAliveText, shutdownText} {
		last = append(last, a.encodeFrame(text)...)
	}
	a.writeRaw(last)
	s.expectSighting(1, detector.SawKeepAlive)
	if err := a.conn.(*net.TCPConn).SetLinger(0); err != nil { // closing it resets the connection
		t.Fatal(err)
	}
	_ = a.conn.Close()
	close(gone)
	for _, kind := range []detector.Kind{detector.SawKeepAlive, detector.SawKeepAlive, detector.SawShutdown, detector.SawClosed} {
		s.expectSighting(1, kind)
	}
}
