package ownership

import (
	"strconv"
	"strings"
)

// Key is the key of a record: NODE.AGENT of a claim, NODE.node of a beat and
// NODE.lost.OTHER of a verdict.
type Key struct {
	Node  string // whose record it is
	Kind  Kind
	Agent AgentID // of a claim
	Other string  // of a verdict
}

const (
	beatToken    = "node"
	verdictToken = "lost"
)

func (k Key) String() string {
	switch k.Kind {
	case BeatRecord:
		return k.Node + "." + beatToken
	case VerdictRecord:
		return k.Node + "." + verdictToken + "." + k.Other
	}
	return k.Node + "." + k.Agent.String()
}

// ParseKey reads a key.
func ParseKey(text string) (k Key, ok bool) {
	node, rest, _ := strings.Cut(text, ".")
	if !IsNodeName(node) {
		return k, false
	}
	k.Node = node
	if rest == beatToken {
		k.Kind = BeatRecord
		return k, true
	}
	if other, found := strings.CutPrefix(rest, verdictToken+"."); found {
		k.Kind, k.Other = VerdictRecord, other
		return k, IsNodeName(other) && other != node
	}
	k.Kind = ClaimRecord
	k.Agent, ok = ParseAgent(rest)
	return k, ok
}

// ParseAgent reads an agent's number in the form of [AgentID.String].
func ParseAgent(s string) (AgentID, bool) {
	if len(s) < 3 || len(s) > 10 || s[0] == '0' && len(s) > 3 {
		return 0, false
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseUint(s, 10, 32)
	return AgentID(n), err == nil
}

// Accepts reports whether a record belongs under the key, and completes a claim with the agent.
func (k Key) Accepts(r *Record) bool {
	if r.Kind != k.Kind || k.Kind == VerdictRecord && r.Verdict.Node != k.Other {
		return false
	}
	r.Claim.Agent = k.Agent
	return true
}
