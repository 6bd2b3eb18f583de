package daemon

import (
	"context"
	"log/slog"

	"github.com/wazuh-pulse/pulse/internal/clientkeys"
	"github.com/wazuh-pulse/pulse/internal/detector"
	"github.com/wazuh-pulse/pulse/internal/listen"
)

// inventory keeps the detector and the link at the agents of client.keys.
type inventory struct {
	path     string
	detector *detector.Detector
	link     *listen.Link
	audit    *auditor
	log      *slog.Logger
}

// set takes a reading of client.keys. The detector has it first, so that it
// knows an agent before the link lets it in.
func (inv *inventory) set(keys *clientkeys.Set, problems []clientkeys.Problem) {
	members := make([]detector.Member, 0, keys.Len())
	for key := range keys.All() {
		id, err := detector.ParseID(key.ID)
		if err != nil {
			continue // clientkeys has refused it
		}
		members = append(members, detector.Member{ID: id, Name: key.Name, IP: key.IP.String()})
	}
	inv.detector.SetMembers(members)
	inv.link.SetKeys(keys)
	for _, p := range problems {
		inv.log.Warn("a line of client.keys is skipped", "file", inv.path, "problem", p.Error())
	}
}

// watch follows the file, of which known is the last reading, until ctx ends.
func (inv *inventory) watch(ctx context.Context, known *clientkeys.Set) {
	changed := func(keys *clientkeys.Set, problems []clientkeys.Problem) {
		inv.set(keys, problems)
		inv.audit.agents(known, keys, len(problems))
		known = keys
		inv.log.Info("client.keys changed", "file", inv.path, "agents", keys.Len(), "skipped_lines", len(problems))
	}
	failed := func(err error) {
		inv.log.Error("client.keys cannot be read: the agents stay those of the last reading", "error", err)
	}
	clientkeys.Watch(ctx, inv.path, known, changed, failed)
}
