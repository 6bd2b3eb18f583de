package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/hint"
)

// listSubjects returns the subjects of messages: patterns, with * for an agent's ID or a node.
func listSubjects(prefix event.Prefix) []string {
	return []string{prefix.StatusChange("*"), prefix.AgentDisconnected(), prefix.FleetOutage(), prefix.AgentFlapping(), prefix.NodeCondition(),
		prefix.NodeLost(), prefix.AgentDuplicated(), prefix.KeepAlive("*"), prefix.ManagerStatus("*")}
}

// checkSubject returns an error for a subject below the prefix that no message has.
func checkSubject(subject string, prefix event.Prefix) error {
	wanted, below := strings.CutPrefix(subject, string(prefix)+".")
	if !below {
		return nil
	}
	known := listSubjects(prefix)
	if slices.ContainsFunc(known, func(pattern string) bool { return overlapSubjects(subject, pattern) }) {
		return nil
	}
	words := strings.Split(wanted, ".")
	near := make([]string, len(known))
	for i, pattern := range known { // with the agent or the node that is meant
		tokens := strings.Split(strings.TrimPrefix(pattern, string(prefix)+"."), ".")
		for j, token := range tokens {
			if token == "*" && j < len(words) && words[j] != "" {
				tokens[j] = words[j]
			}
		}
		near[i] = strings.Join(tokens, ".")
	}
	err := fmt.Errorf("--subject %.100q: no message has such a subject: want %s", subject, joinChoices(known))
	if meant := hint.FindNearest(wanted, near); meant != "" {
		return hint.Add(err, fmt.Sprintf("did you mean %s.%s?", prefix, meant))
	}
	return err
}

// overlapSubjects reports whether some subject matches both patterns.
func overlapSubjects(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; ; i++ {
		switch {
		case i == len(as) || i == len(bs):
			return len(as) == len(bs)
		case as[i] == ">" || bs[i] == ">":
			return true
		case as[i] != bs[i] && as[i] != "*" && bs[i] != "*":
			return false
		}
	}
}
