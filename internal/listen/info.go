package listen

import (
	"bytes"
	"hash/maphash"
	"time"

	"github.com/wazuh-pulse/pulse/internal/agentinfo"
	"github.com/wazuh-pulse/pulse/internal/detector"
)

// infoPeriod is the least time between two changes of what one peer sends of itself: what
// comes before is read with a later keep-alive.
const infoPeriod = time.Second

// infoSeed makes the sums of lines unforeseeable.
var infoSeed = maphash.MakeSeed()

// peerInfo is which line a peer's info was read from last, and when.
type peerInfo struct {
	sum    uint64 // of the line
	readAt detector.Instant
	isRead bool
}

// isChanged reports whether a line has to be read: it differs from the last one, and that
// was not read just now.
func (i *peerInfo) isChanged(line []byte, now detector.Instant) bool {
	sum := maphash.Bytes(infoSeed, line)
	if i.isRead && (sum == i.sum || now.Sub(i.readAt) < infoPeriod) {
		return false
	}
	*i = peerInfo{sum, now, true}
	return true
}

// updateInfo passes on what an agent sends of itself in the first line of a keep-alive, if
// that has changed.
func (l *Link) updateInfo(p *peer, now detector.Instant, keepAlive []byte) {
	line := keepAlive[len(controlPrefix):]
	line = line[:min(len(line), agentinfo.MaxLine)]
	if end := bytes.IndexByte(line, '\n'); end >= 0 {
		line = line[:end]
	}
	if l.setInfo != nil && p.info.isChanged(line, now) {
		l.setInfo(p.id, agentinfo.ParseKeepAlive(string(line)))
	}
}
