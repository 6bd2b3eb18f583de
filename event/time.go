package event

import "time"

// HeartbeatInterval is the time between two of a node's heartbeats.
const HeartbeatInterval = 10 * time.Second

// Time returns when the event happened.
func (k *KeepAlive) Time() time.Time { return time.Unix(k.Timestamp, 0) }

// Time returns when the status changed.
func (c *StatusChange) Time() time.Time { return time.Unix(c.Timestamp, 0) }

// LastSeenTime returns when the last sign of life was; the zero time if there was none.
func (c *StatusChange) LastSeenTime() time.Time { return unixTime(c.LastSeen) }

// Time returns when the status was taken.
func (s *ManagerStatus) Time() time.Time { return time.Unix(s.Timestamp, 0) }

// StartTime returns when the node started.
func (s *ManagerStatus) StartTime() time.Time { return time.Unix(s.StartedAt, 0) }

// SinceTime returns when the state began.
func (s *NATSState) SinceTime() time.Time { return time.Unix(s.Since, 0) }

// Time returns when this was known.
func (o *FleetOutage) Time() time.Time { return time.Unix(o.Timestamp, 0) }

// SinceTime returns when the first agent was lost.
func (o *FleetOutage) SinceTime() time.Time { return time.Unix(o.Since, 0) }

// Time returns when the latest change was.
func (f *AgentFlapping) Time() time.Time { return time.Unix(f.Timestamp, 0) }

// Time returns when the condition began or ended.
func (c *NodeCondition) Time() time.Time { return time.Unix(c.Timestamp, 0) }

// SinceTime returns when the condition began.
func (c *NodeCondition) SinceTime() time.Time { return time.Unix(c.Since, 0) }

// Time returns when this was known.
func (n *NodeLoss) Time() time.Time { return time.Unix(n.Timestamp, 0) }

// SinceTime returns when the last sign of life of the node before its loss was known, by the
// announcing node's clock; the zero time where that is not known.
func (n *NodeLoss) SinceTime() time.Time { return unixTime(n.Since) }

// Time returns when this was known.
func (d *AgentDuplicated) Time() time.Time { return time.Unix(d.Timestamp, 0) }

// SinceTime returns when the status changed.
func (a *AgentState) SinceTime() time.Time { return time.Unix(a.Since, 0) }

// LastSeenTime returns when the last sign of life before the change was; the zero time
// if there was none.
func (a *AgentState) LastSeenTime() time.Time { return unixTime(a.LastSeen) }

// UpdatedTime returns when the value was written.
func (a *AgentState) UpdatedTime() time.Time { return time.Unix(a.Updated, 0) }

// IssuedTime returns when the message was made.
func (s *Security) IssuedTime() time.Time { return time.UnixMilli(s.IssuedAt) }

// unixTime returns the time of an optional field, which is 0 where it is absent.
func unixTime(seconds int64) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}
