package bench

import (
	"fmt"
	"io"
)

// ClusterReport holds the figures of [MeasureCluster].
type ClusterReport struct {
	Nodes        int     `json:"nodes" unit:"in this process"`
	Agents       int     `json:"agents" unit:"of all nodes"`
	Claims       float64 `json:"claims_per_s" unit:"until every node has read them"`
	ClaimCPU     float64 `json:"claim_cpu_us" unit:"µs of processor for each claim and node, to store or to read it"`
	Moved        int     `json:"moved" unit:"agents that change nodes at once"`
	MovedSeconds float64 `json:"moved_agree_s" unit:"s until every node knows where each of them is"`
	CalmRecords  float64 `json:"calm_records_per_s" unit:"stored by a node when nothing happens: its beats"`
	CalmCPU      float64 `json:"calm_cpu_percent" unit:"% of one processor for each node, when nothing happens"`
	Load         float64 `json:"load_s" unit:"s until one more node has read all claims"`
	BytesAgent   float64 `json:"bytes_per_agent" unit:"bytes of memory of that node for each"`
	StoredBytes  float64 `json:"stored_bytes_per_record" unit:"bytes in the bucket"`
	Refused      uint64  `json:"refused" unit:"records"`
}

// Err returns an error if a record was refused.
func (r *ClusterReport) Err() error {
	if r.Refused > 0 {
		return fmt.Errorf("%d records were refused", r.Refused)
	}
	return nil
}

// WriteJSON writes the report as one JSON object.
func (r *ClusterReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteText writes the figures with their explanations.
func (r *ClusterReport) WriteText(w io.Writer) { writeText(w, r) }
