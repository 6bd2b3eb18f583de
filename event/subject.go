package event

import (
	"fmt"
	"strings"
)

// DefaultPrefix is the subject prefix where none is set.
const DefaultPrefix = "wazuh.xdr"

// Prefix is what the subjects of a deployment begin with.
type Prefix string

// KeepAlive is the subject of an agent's keep-alive events.
func (p Prefix) KeepAlive(agentID string) string { return string(p) + ".manager.keepalive." + agentID }

// StatusChange is the subject of an agent's status changes.
func (p Prefix) StatusChange(agentID string) string {
	return string(p) + ".agent." + agentID + ".status_change"
}

// AgentDisconnected is the subject of the grave status changes of all agents.
func (p Prefix) AgentDisconnected() string { return string(p) + ".alerts.agent_disconnected" }

// FleetOutage is the subject of outages of the fleet, and of their end.
func (p Prefix) FleetOutage() string { return string(p) + ".alerts.fleet_outage" }

// AgentFlapping is the subject of agents whose status changes too often.
func (p Prefix) AgentFlapping() string { return string(p) + ".alerts.agent_flapping" }

// NodeCondition is the subject of what begins and ceases to be wrong with a node.
func (p Prefix) NodeCondition() string { return string(p) + ".alerts.node_condition" }

// NodeLost is the subject of nodes of a cluster that are lost, and that are back.
func (p Prefix) NodeLost() string { return string(p) + ".alerts.node_lost" }

// AgentDuplicated is the subject of agents whose key two machines have.
func (p Prefix) AgentDuplicated() string { return string(p) + ".alerts.agent_duplicated" }

// ManagerStatus is the subject of a node's heartbeat.
func (p Prefix) ManagerStatus(node string) string { return string(p) + ".manager.status." + node }

// All matches every subject of the deployment.
func (p Prefix) All() string { return string(p) + ".>" }

// StatusChanges matches the status changes of all agents.
func (p Prefix) StatusChanges() string { return string(p) + ".agent.*.status_change" }

// Valid returns an error unless the prefix is one or more NATS tokens.
func (p Prefix) Valid() error {
	for token := range strings.SplitSeq(string(p), ".") {
		if err := validToken(token); err != nil {
			return fmt.Errorf("subject prefix %q: %w", string(p), err)
		}
	}
	if strings.HasPrefix(string(p), "$") {
		return fmt.Errorf("subject prefix %q: subjects that begin with $ belong to the NATS server", string(p))
	}
	return nil
}

// ValidNode returns an error unless node is one NATS token.
func ValidNode(node string) error {
	err := validToken(node)
	if err == nil && strings.Contains(node, ".") {
		err = fmt.Errorf("'.' is not allowed")
	}
	if err != nil {
		return fmt.Errorf("node name %q: %w", node, err)
	}
	return nil
}

func validToken(token string) error {
	if token == "" {
		return fmt.Errorf("a part of it is empty")
	}
	for _, r := range token {
		if r <= ' ' || r == 0x7f || r == '*' || r == '>' {
			return fmt.Errorf("%q is not allowed", r)
		}
	}
	return nil
}
