package bench

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// ListenReport holds the figures of [MeasureListen]. Of more than [rampMost] agents, which do
// not start at once, there is no processor time of a start.
type ListenReport struct {
	Agents        int     `json:"agents" unit:""`
	Network       string  `json:"network" unit:""`
	KeepAlive     float64 `json:"keepalive_cpu_us" unit:"µs of the node's processor time for each keep-alive of an agent, with all that the node does"`
	KeepAliveBare float64 `json:"keepalive_bare_us" unit:"µs of the bare manager, which reads, decrypts, inflates and answers"`
	KeepAliveFold float64 `json:"keepalive_ratio" unit:"of the two"`
	AgentSide     float64 `json:"agent_cpu_us" unit:"µs of the simulated agents for each of their keep-alives"`
	AgentSideFold float64 `json:"agent_ratio" unit:"of the node's to that"`
	AckP50        float64 `json:"ack_p50_ms" unit:"ms until the acknowledgement"`
	AckP99        float64 `json:"ack_p99_ms" unit:"ms"`
	AckBareP99    float64 `json:"ack_bare_p99_ms" unit:"ms, of the bare manager"`
	Resident      int64   `json:"rss_bytes" unit:"of the node, everyday"`
	ResidentBare  int64   `json:"rss_bare_bytes" unit:"of the bare manager"`
	Peak          int64   `json:"rss_peak_bytes" unit:"of the node while all agents start at once"`
	Start         float64 `json:"start_cpu_us" unit:"µs of the node's processor time for each agent that starts, with its first keep-alive and all that follows"`
	StartBare     float64 `json:"start_bare_us" unit:"µs of the bare manager, without a keep-alive"`
	StartFold     float64 `json:"start_ratio" unit:"of the two"`
	Settled       float64 `json:"settled_s" unit:"s until all agents were acknowledged, which start at once; more than 20 000 over 10 s for each of these"`
	SettledBare   float64 `json:"settled_bare_s" unit:"s, of the bare manager"`
	Connected     int     `json:"connected" unit:"agents that were acknowledged and active at the node, everyday"`
	Refused       uint64  `json:"refused" unit:"connections refused, or closed before the acknowledgement"`
	Ended         string  `json:"ended" unit:"an error of a process at its end"`
}

func (r *ListenReport) fillBare(f managerFigures) {
	r.KeepAliveBare, r.ResidentBare, r.StartBare = f.keepAliveCPU, f.resident, f.startCPU
	r.addEnd(f.ended)
	r.AckBareP99, r.SettledBare = toMillis(f.ack.Ack.P99), f.settled
}

func (r *ListenReport) fillNode(f managerFigures) {
	r.KeepAlive, r.AgentSide, r.Resident, r.Peak, r.Start, r.Settled = f.keepAliveCPU, f.agentCPU, f.resident, f.peak, f.startCPU, f.settled
	r.AckP50, r.AckP99, r.Refused = toMillis(f.ack.Ack.P50), toMillis(f.ack.Ack.P99), f.ack.Refused
	r.Connected = f.connected
	r.addEnd(f.ended)
	if r.AgentSide > 0 {
		r.AgentSideFold = r.KeepAlive / r.AgentSide
	}
	if r.KeepAliveBare > 0 {
		r.KeepAliveFold = r.KeepAlive / r.KeepAliveBare
	}
	if r.StartBare > 0 {
		r.StartFold = r.Start / r.StartBare
	}
}

func (r *ListenReport) addEnd(err error) {
	if err != nil {
		r.Ended += err.Error() + "; "
	}
}

func toMillis(d time.Duration) float64 { return d.Seconds() * 1000 }

// Err returns an error if an agent was refused, or has not come in.
func (r *ListenReport) Err() (err error) {
	if r.Refused > 0 {
		err = fmt.Errorf("%d connections were refused", r.Refused)
	}
	if r.Connected < r.Agents {
		err = errors.Join(err, fmt.Errorf("%d of %d agents were connected and active at the end", r.Connected, r.Agents))
	}
	if r.Ended != "" {
		err = errors.Join(err, fmt.Errorf("a process ended with an error: %s", strings.TrimSuffix(r.Ended, "; ")))
	}
	return err
}

// WriteJSON writes the report as one JSON object.
func (r *ListenReport) WriteJSON(w io.Writer) error { return writeJSON(w, r) }

// WriteText writes the figures with their explanations.
func (r *ListenReport) WriteText(w io.Writer) { writeText(w, r) }
