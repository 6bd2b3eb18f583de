package wazuhrules

import (
	"fmt"

	"github.com/wazuh-pulse/pulse/event"
	"github.com/wazuh-pulse/pulse/internal/alertlevel"
	"github.com/wazuh-pulse/pulse/internal/wazuhevent"
)

// DefaultFirstID is the ID of the first rule where no other is set.
const DefaultFirstID = 119500

// The IDs that Wazuh leaves to its users' rules.
const (
	lowestID  = 100000
	highestID = 120000
)

// idCount is how many IDs the rules need, from the first to the last.
const idCount = 100

// ValidFirstID returns an error unless all rules have IDs that Wazuh leaves to its users.
func ValidFirstID(first int) error {
	if first < lowestID || first+idCount-1 > highestID {
		return fmt.Errorf("first ID %d: Wazuh leaves %d to %d to its users' rules, and Pulse's need %d of these: want %d to %d",
			first, lowestID, highestID, idCount, lowestID, highestID-idCount+1)
	}
	return nil
}

// rule is one rule. Its number and its parent's are counted from the first ID.
type rule struct {
	number      int
	parent      int // noParent for none
	level       int
	location    string // a regular expression of PCRE2; empty for any
	fields      []field
	mitre       bool
	groups      string
	description string
}

const noParent = -1

// field is a condition: the member of "pulse" has one of these values.
type field struct{ name, values string }

// The numbers of the rules that others build upon. Rules of a block differ by their
// level alone: that of a level has the block's number, plus the level, minus 6.
const (
	anyEvent   = 0
	agentEvent = 1
	nodeEvent  = 2
	anyLoss    = 3

	awayBlock = 70

	agentBack      = 80
	agentFlapping  = 81
	fleetOutage    = 82
	fleetRecovered = 83
	nodeWarning    = 84
	nodeFailure    = 85
	nodeRecovered  = 86
	silenceBegan   = 87
	silenceEnded   = 88
	nodeLost       = 89
	nodeBack       = 90
	duplicated     = 91
)

const (
	lowestLevel  = 6  // of a loss
	highestLevel = 12 // of a loss
	lowestAway   = 8  // of an agent that stays away
	unknownLevel = 3  // of an event that a newer Pulse has, and these rules do not
	silenceLevel = 5  // of a silence that begins: there is no message of that
)

// The groups of rules: what the alerts show compliance with, as rules 504 and 501 of
// Wazuh have it.
const (
	lossGroups = "pci_dss_10.6.1,pci_dss_10.2.6,gpg13_10.1,gdpr_IV_35.7.d,hipaa_164.312.b,nist_800_53_AU.6,nist_800_53_AU.14,nist_800_53_AU.5," +
		"tsc_CC7.2,tsc_CC7.3,tsc_CC6.8,"
	calmGroups = "pci_dss_10.6.1,gpg13_10.1,gdpr_IV_35.7.d,hipaa_164.312.b,nist_800_53_AU.6,tsc_CC7.2,tsc_CC7.3,"
)

// lossBlock is a kind of loss. It has one rule for each level of a loss.
type lossBlock struct {
	number  int
	reasons string
	host    event.Host
	text    string
}

var lossBlocks = []lossBlock{
	{10, connectionLost, event.HostAnswers, "its connection ended without a goodbye, and its host answers: somebody or something has ended the agent"},
	{20, connectionLost, event.HostSilent, "its connection ended, and its host does not answer either"},
	{30, connectionLost, event.HostUnknown, "its connection ended, and whether its host answers is not known"},
	{40, fellSilent, event.HostAnswers, "it fell silent, and its host answers: look at the agent"},
	{50, fellSilent, event.HostSilent, "it fell silent, and its host does not answer either"},
	{60, fellSilent, event.HostUnknown, "it fell silent, and whether its host answers is not known"},
}

const (
	connectionLost = string(event.ConnectionLost)
	fellSilent     = string(event.MissedKeepAlives) + "|" + string(event.KeepAliveTimeout)
)

// allRules returns the rules, each after its parent.
func allRules() []rule {
	agent := `^\([^()]+\) [0-9A-Fa-f.:/any]+` + wazuhevent.AgentLocationEnd + `$`
	node := "^" + wazuhevent.NodeLocation + "$"
	list := []rule{
		{number: anyEvent, parent: noParent, fields: []field{{"event", ".+"}}, location: node + "|" + agent, description: "Pulse: an event."},
		{number: agentEvent, parent: anyEvent, level: unknownLevel, location: agent, description: "Pulse: $(pulse.event) of agent $(pulse.agent_name)."},
		{number: nodeEvent, parent: anyEvent, level: unknownLevel, location: node, description: "Pulse: $(pulse.event)."},
		{number: anyLoss, parent: agentEvent, level: lowestLevel, fields: kindIs(wazuhevent.AgentLost), mitre: true, groups: "pulse_lost," + lossGroups,
			description: "Pulse: agent $(pulse.agent_name) is lost: $(pulse.reason)."},
	}
	for _, b := range lossBlocks {
		list = append(list, levelRules(rule{number: b.number, parent: anyLoss, level: lowestLevel, mitre: true,
			fields: []field{{"reason", b.reasons}, {"host", string(b.host)}},
			groups: "pulse_lost,pulse_host_" + string(b.host) + "," + lossGroups, description: "Pulse: agent $(pulse.agent_name) is lost: " + b.text + "."})...)
	}
	list = append(list, levelRules(rule{number: awayBlock, parent: agentEvent, level: lowestAway, mitre: true, fields: kindIs(wazuhevent.AgentAway),
		groups: "pulse_away," + lossGroups, description: "Pulse: agent $(pulse.agent_name) is away for $(pulse.away_for) s: $(pulse.reason), host: $(pulse.host)."})...)
	return append(list, plainRules()...)
}

// kindIs returns the condition that an event is of a kind.
func kindIs(kind wazuhevent.Kind) []field { return []field{{"event", string(kind)}} }

// levelRules returns the rules of a block: the given one, of its lowest level, and below
// it one for each higher level.
func levelRules(lowest rule) []rule {
	block := lowest.number
	lowest.number += lowest.level - lowestLevel
	list := []rule{lowest}
	for level := lowest.level + 1; level <= highestLevel; level++ {
		higher := lowest
		higher.number, higher.parent, higher.level = block+level-lowestLevel, lowest.number, level
		higher.fields = []field{{"alert_level", fmt.Sprint(level)}}
		list = append(list, higher)
	}
	return list
}

// plainRules returns the rules of what has one level.
func plainRules() []rule {
	began, ended := field{"state", string(event.ConditionBegan)}, field{"state", string(event.ConditionEnded)}
	return []rule{
		{number: agentBack, parent: agentEvent, level: alertlevel.Recovered, fields: kindIs(wazuhevent.AgentBack), groups: "pulse_back," + calmGroups,
			description: "Pulse: agent $(pulse.agent_name) is back."},
		{number: agentFlapping, parent: agentEvent, level: alertlevel.Flapping, fields: kindIs(wazuhevent.AgentFlapping), groups: "pulse_flapping," + lossGroups,
			description: "Pulse: agent $(pulse.agent_name) is flapping: $(pulse.status_changes) status changes in $(pulse.window) s. Its alerts are held until it is stable."},
		{number: fleetOutage, parent: nodeEvent, level: alertlevel.Outage, fields: kindIs(wazuhevent.FleetOutage), groups: "pulse_outage," + lossGroups,
			description: "Pulse: fleet outage: $(pulse.agents_lost) of $(pulse.agents_watched) agents are lost. Alerts of single agents are held."},
		{number: fleetRecovered, parent: nodeEvent, level: alertlevel.Recovered, fields: kindIs(wazuhevent.FleetRecovered), groups: "pulse_outage," + calmGroups,
			description: "Pulse: the fleet has recovered: of $(pulse.agents_lost) agents that were lost, $(pulse.agents_back) are back."},
		{number: nodeWarning, parent: nodeEvent, level: alertlevel.Warning, fields: append(kindIs(wazuhevent.NodeCondition), began), groups: "pulse_node," + calmGroups,
			description: "Pulse: node $(pulse.manager_node): $(pulse.problem)"},
		{number: nodeFailure, parent: nodeWarning, level: alertlevel.Failure, fields: []field{{"alert_level", fmt.Sprint(alertlevel.Failure)}}, groups: "pulse_node," + lossGroups,
			description: "Pulse: node $(pulse.manager_node) does not do its work: $(pulse.problem)"},
		{number: nodeRecovered, parent: nodeEvent, level: alertlevel.Ended, fields: append(kindIs(wazuhevent.NodeCondition), ended), groups: "pulse_node," + calmGroups,
			description: "Pulse: node $(pulse.manager_node): $(pulse.code) is over."},
		{number: silenceBegan, parent: nodeEvent, level: silenceLevel, fields: append(kindIs(wazuhevent.SilenceChange), began), groups: "pulse_silence," + lossGroups,
			description: "Pulse: silence $(pulse.silence) $(pulse.change): alerts of $(pulse.selects) wait: $(pulse.times)."},
		{number: silenceEnded, parent: nodeEvent, level: alertlevel.Ended, fields: append(kindIs(wazuhevent.SilenceChange), ended), groups: "pulse_silence," + calmGroups,
			description: "Pulse: silence $(pulse.silence) $(pulse.change): alerts of $(pulse.selects) wait no more."},
		{number: nodeLost, parent: nodeEvent, level: alertlevel.NodeLost, fields: kindIs(wazuhevent.NodeLost), groups: "pulse_cluster," + lossGroups,
			description: "Pulse: node $(pulse.node) is lost, with $(pulse.agents) agents. The manager there: $(pulse.manager)."},
		{number: nodeBack, parent: nodeEvent, level: alertlevel.NodeBack, fields: kindIs(wazuhevent.NodeBack), groups: "pulse_cluster," + calmGroups,
			description: "Pulse: node $(pulse.node) is back, with $(pulse.agents) agents."},
		{number: duplicated, parent: agentEvent, level: alertlevel.Duplicated, fields: kindIs(wazuhevent.Duplicated), groups: "pulse_duplicated," + lossGroups,
			description: "Pulse: two machines have the key of agent $(pulse.agent_name)."},
	}
}
