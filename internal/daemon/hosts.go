package daemon

import (
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/hostprobe"
)

// hostStates are the detector's names for what a probe finds.
var hostStates = [...]detector.Host{
	hostprobe.Unknown: detector.HostUnknown, hostprobe.Answers: detector.HostAnswers, hostprobe.Silent: detector.HostSilent,
}

// probeHost has a lost agent's host probed, and the result reported to the detector. It does not wait.
func (n *Node) probeHost(d *detector.Decision) {
	id, token := d.ID, d.Token
	n.hosts.Request(d.Addr, func(r hostprobe.Result) {
		n.detector.ReportHost(detector.HostReport{ID: id, Token: token, At: n.clock.Now(), Host: hostStates[r.Host], Probe: r.How})
	})
}

// countHostProbes returns how many results there were, by name.
func (n *Node) countHostProbes() map[string]int64 {
	named := make(map[string]int64)
	for host, count := range n.hosts.Counts() {
		named[hostStates[host].String()] = int64(count)
	}
	return named
}
