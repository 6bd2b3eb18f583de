package daemon

import (
	"net/netip"

	"github.com/wazuh-pulse/pulse/internal/config"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/message"
)

// maxChanges is how many status changes of one agent are published one by one in
// a minute: an agent that restarts every ten seconds has eighteen. Each is a
// message with an fsync, a line of the audit log and a revision in the roster.
const maxChanges = 30

// Detection says in the detector's terms how to detect.
func Detection(cfg *config.Config) (detector.Settings, error) {
	k := &cfg.KeepAlive
	method, err := detector.ParseMethod(k.Method)
	set := detector.Settings{
		Group:         detector.Group{Interval: k.Interval, Timeout: k.Timeout, MaxMissed: k.MaxMissed},
		Method:        method,
		RetryInterval: k.RetryInterval, SuspectTimeout: k.SuspectTimeout, ReconnectGrace: k.ReconnectGrace,
		OutageShare: float64(k.OutageShare) / 100, OutageHold: k.OutageHold,
		FlapThreshold: k.FlapThreshold, FlapWindow: k.FlapWindow, MaxChanges: maxChanges,
	}
	for _, g := range cfg.Groups {
		set.Groups = append(set.Groups, detector.Group{Interval: g.Interval, Timeout: g.Timeout, MaxMissed: g.MaxMissed})
	}
	if !k.Enabled {
		set.Interval = 0
		for i := range set.Groups {
			set.Groups[i].Interval = 0
		}
	}
	if len(cfg.Groups) > 0 {
		set.GroupOf = groupOf(cfg.Groups)
	}
	return set, err
}

// groupOf finds an agent's group: the first that matches, counted from 1.
func groupOf(all []config.Group) detector.GroupOf {
	return func(id detector.AgentID, name string, addr netip.Addr) int {
		for i := range all {
			if all[i].Matches(uint32(id), name, addr) {
				return i + 1
			}
		}
		return 0
	}
}

// groups returns what messages need to know of each group.
func groups(cfg *config.Config) []message.Group {
	list := []message.Group{{Interval: cfg.KeepAlive.Interval, AlertThreshold: cfg.NATS.HighAlertThreshold, FlapWindow: cfg.KeepAlive.FlapWindow}}
	for i := range cfg.Groups {
		list = append(list, message.Group{Interval: cfg.Groups[i].Interval, AlertThreshold: cfg.Groups[i].HighAlertThreshold, FlapWindow: cfg.KeepAlive.FlapWindow})
	}
	return list
}
