package remoted

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/wazuh-pulse/pulse/internal/detector"
)

// MaxPresent is how many agents one command may be about: their counts fit into one frame.
const MaxPresent = 150

// ReadPresent returns which of some agents, MaxPresent at most, remoted counts messages of. The
// others have not been connected to it. It sends no agent anything. Managers before Wazuh
// 4.4, and those of Wazuh 5, refuse it.
func (c *Client) ReadPresent(ctx context.Context, ids []detector.AgentID, timeout time.Duration) ([]detector.AgentID, error) {
	if len(ids) == 0 || len(ids) > MaxPresent {
		return nil, fmt.Errorf("ask wazuh-remoted for %d agents: 1 to %d are possible", len(ids), MaxPresent)
	}
	list := make([]uint32, len(ids))
	for i, id := range ids {
		list[i] = uint32(id)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return nil, err
	}
	var stats struct {
		Agents []struct {
			ID int64 `json:"id"`
		} `json:"agents"`
	}
	err = c.runCommand(ctx, `{"version":1,"origin":{"module":"api"},"command":"getagentsstats","parameters":{"agents":`+string(text)+`}}`, timeout, &stats)
	if err != nil {
		return nil, err
	}
	var present []detector.AgentID
	for _, a := range stats.Agents {
		if a.ID > 0 && a.ID <= int64(detector.MaxAgentID) {
			present = append(present, detector.AgentID(a.ID))
		}
	}
	return present, nil
}
